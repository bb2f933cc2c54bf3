#include "sinks/webhook/signature.h"

#include <fmt/format.h>

#include "net/digest.h"

namespace tailrace::webhook {

std::string signature(std::string_view secret, long long unix_seconds, std::string_view body) {
  const std::string mac = net::hmac_sha256(secret, fmt::format("{}.{}", unix_seconds, body));
  return fmt::format("t={},v1={}", unix_seconds, net::hex(mac));
}

}  // namespace tailrace::webhook
