#include "sinks/webhook/signature.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "base/error.h"

namespace tailrace::webhook {
namespace {

using Digest = std::array<unsigned char, EVP_MAX_MD_SIZE>;

std::string hex(const Digest& digest, unsigned size) {
  std::string text;
  for (unsigned n = 0; n < size; ++n) text += fmt::format("{:02x}", digest.at(n));
  return text;
}

}  // namespace

std::string sha256(std::string_view bytes) {
  Digest digest{};
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
    throw DefectError("OpenSSL has no SHA-256");
  return hex(digest, size);
}

std::string hmac_sha256(std::string_view secret, std::string_view bytes) {
  Digest digest{};
  unsigned size = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), data, bytes.size(), digest.data(), &size) ==
      nullptr)
    throw DefectError("OpenSSL has no HMAC");
  return hex(digest, size);
}

std::string signature(std::string_view secret, long long unix_seconds, std::string_view body) {
  return fmt::format("t={},v1={}", unix_seconds, hmac_sha256(secret, fmt::format("{}.{}", unix_seconds, body)));
}

}  // namespace tailrace::webhook
