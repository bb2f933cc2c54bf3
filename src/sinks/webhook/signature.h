#pragma once

#include <string>
#include <string_view>

namespace tailrace::webhook {

/// In lower-case hexadecimal.
std::string sha256(std::string_view bytes);
std::string hmac_sha256(std::string_view secret, std::string_view bytes);
/// "t=TIME,v1=HMAC", where HMAC is over "TIME.BODY" and TIME is in seconds since 1970.
std::string signature(std::string_view secret, long long unix_seconds, std::string_view body);

}  // namespace tailrace::webhook
