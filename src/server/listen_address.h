#pragma once

#include <cstdint>
#include <string>

namespace tailrace::server {

/// Where a server listens. A value.
struct ListenAddress {
  /// A name or an address, without brackets.
  std::string host;
  /// 0: one that is free.
  std::uint16_t port = 0;

  bool operator==(const ListenAddress&) const = default;
};

/// Reads "8083", "127.0.0.1:8083", "localhost:8083", "[::1]:8083"; a port alone is one of the loopback address. Throws
/// BadConfigError TR222.
ListenAddress parse_listen_address(const std::string& text);

/// "127.0.0.1:8083", "[::1]:8083".
std::string to_string(const ListenAddress& address);

/// Whether a host, as an address or a Host header has it (without port), can only mean this machine.
bool is_loopback(const std::string& host);

}  // namespace tailrace::server
