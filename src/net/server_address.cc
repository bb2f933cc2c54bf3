#include "net/server_address.h"

#include <fmt/format.h>

namespace tailrace::net {

std::string ServerAddress::authority() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

}  // namespace tailrace::net
