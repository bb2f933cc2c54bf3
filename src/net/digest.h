#pragma once

#include <string>
#include <string_view>

/// Hashes and keyed hashes of bytes. All functions are pure.
namespace tailrace::net {

/// Lower-case hexadecimal.
std::string hex(std::string_view bytes);
/// In lower-case hexadecimal.
std::string sha256_hex(std::string_view bytes);
/// The bytes themselves (RFC 2104 over SHA-256).
std::string hmac_sha256(std::string_view key, std::string_view bytes);

}  // namespace tailrace::net
