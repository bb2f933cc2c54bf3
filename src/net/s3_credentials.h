#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/s3_keys.h"

namespace tailrace::net {

/// A variable of the environment; nothing: it is not set.
using EnvironmentVariable = std::function<std::optional<std::string>(const std::string& name)>;

/// The keys as AWS' own programs look for them (docs/s3.md): AWS_ACCESS_KEY_ID and its kin, a web identity,
/// unless a profile is named; that profile (`profile`, AWS_PROFILE, "default") in the file AWS_SHARED_CREDENTIALS_FILE,
/// or ~/.aws/credentials; the services of a container or of a virtual machine, which are not asked before the first
/// request. Throws BadConfigError TR857 for what cannot be.
std::shared_ptr<S3Keys> find_s3_keys(const EnvironmentVariable& environment, const std::string& profile,
                                     const std::string& region);
/// The keys of a profile in such a file's text; nothing: it has none.
std::optional<S3Credentials> read_profile(std::string_view text, std::string_view profile);

}  // namespace tailrace::net
