#pragma once

#include <string>
#include <string_view>

namespace tailrace::webhook {

/// "t=TIME,v1=HMAC", where HMAC (SHA-256, in hexadecimal) is over "TIME.BODY" and TIME is in seconds since 1970.
std::string signature(std::string_view secret, long long unix_seconds, std::string_view body);

}  // namespace tailrace::webhook
