#include "net/server_address.h"

#include <fmt/format.h>

namespace tailrace::net {

std::string ServerAddress::authority() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

bool ServerAddress::is_this_host() const { return host == "localhost" || host == "::1" || host.starts_with("127."); }

}  // namespace tailrace::net
