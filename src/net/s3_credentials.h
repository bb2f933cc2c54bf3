#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "net/s3_signature.h"

namespace tailrace::net {

/// A variable of the environment; nothing: it is not set.
using EnvironmentVariable = std::function<std::optional<std::string>(const std::string& name)>;

/// The keys as AWS' own programs look for them: AWS_ACCESS_KEY_ID and its kin, unless a profile is named; else that
/// profile (`profile`, AWS_PROFILE, "default") in the file AWS_SHARED_CREDENTIALS_FILE, or ~/.aws/credentials. Throws
/// BadConfigError TR857 where none of them has keys.
S3Credentials find_s3_credentials(const EnvironmentVariable& environment, const std::string& profile);
/// The keys of a profile in such a file's text; nothing: it has none.
std::optional<S3Credentials> read_profile(std::string_view text, std::string_view profile);

}  // namespace tailrace::net
