#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// How requests to S3 and its kin are signed (AWS Signature Version 4, "Authenticating Requests" of the Amazon S3 API
/// reference). All functions are pure.
namespace tailrace::net {

/// Secrets. A value.
struct S3Credentials {
  std::string access_key;
  std::string secret_key;
  /// Of temporary credentials; else empty.
  std::string session_token;

  bool operator==(const S3Credentials&) const = default;
};

/// What a signature covers. A value.
struct S3Request {
  std::string method;
  /// As it stands in the request, encoded.
  std::string path;
  /// Names and values as they are meant, not encoded.
  std::vector<std::pair<std::string, std::string>> query;
  /// Names in lower case; `host` among them.
  std::vector<std::pair<std::string, std::string>> headers;
  /// sha256_hex() of the body (net/digest.h).
  std::string payload_hash;
};

/// All but letters, digits and "-._~" as %XX; slashes stay where `keep_slashes`.
std::string uri_encoded(std::string_view text, bool keep_slashes);
/// The query as it stands in the request: encoded, sorted by name.
std::string canonical_query(const S3Request& request);
/// The value of the Authorization header. `time`: as in x-amz-date, "20130524T000000Z". `service`: "s3".
std::string authorization(const S3Request& request, const S3Credentials& credentials, std::string_view region,
                          std::string_view service, std::string_view time);

}  // namespace tailrace::net
