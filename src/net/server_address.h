#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tailrace::net {

/// On what terms a server is talked to. A value.
struct ConnectionTerms {
  /// Files in PEM form; empty: the system's authorities, no client certificate.
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  /// For connecting, and for an answer.
  std::chrono::milliseconds timeout{0};
};

/// Where a server is, too. Holds secrets. A value.
struct ServerAddress : ConnectionTerms {
  /// Without the brackets of an IPv6 address.
  std::string host;
  std::uint16_t port = 0;
  std::string user;
  std::string password;
  bool tls = false;

  /// "host:port", as it stands in a URL.
  std::string authority() const;
  /// By its name: "localhost", or an address of the loopback.
  bool is_this_host() const;
};

}  // namespace tailrace::net
