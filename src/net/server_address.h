#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tailrace::net {

/// Where a server is and how it is talked to. Holds secrets. A value.
struct ServerAddress {
  /// Without the brackets of an IPv6 address.
  std::string host;
  std::uint16_t port = 0;
  std::string user;
  std::string password;
  bool tls = false;
  /// Files in PEM form; empty: the system's authorities, no client certificate.
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  /// For connecting, and for an answer.
  std::chrono::milliseconds timeout{0};

  /// "host:port", as it stands in a URL.
  std::string authority() const;
};

}  // namespace tailrace::net
