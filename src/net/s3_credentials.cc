#include "net/s3_credentials.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/error.h"

namespace tailrace::net {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace

std::optional<S3Credentials> read_profile(std::string_view text, std::string_view profile) {
  S3Credentials found;
  bool inside = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('[')) {
      inside = line.ends_with(']') && trimmed(line.substr(1, line.size() - 2)) == profile;
      continue;
    }
    const std::size_t equals = line.find('=');
    if (!inside || line.starts_with('#') || line.starts_with(';') || equals == std::string_view::npos) continue;
    const std::string_view name = trimmed(line.substr(0, equals));
    const std::string value(trimmed(line.substr(equals + 1)));
    if (name == "aws_access_key_id") found.access_key = value;
    if (name == "aws_secret_access_key") found.secret_key = value;
    if (name == "aws_session_token") found.session_token = value;
  }
  if (found.access_key.empty() || found.secret_key.empty()) return std::nullopt;
  return found;
}

S3Credentials find_s3_credentials(const EnvironmentVariable& environment, const std::string& profile) {
  const auto value = [&environment](const char* name) { return environment(name).value_or(""); };
  if (profile.empty() && !value("AWS_ACCESS_KEY_ID").empty() && !value("AWS_SECRET_ACCESS_KEY").empty())
    return {value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"), value("AWS_SESSION_TOKEN")};
  std::string name = profile.empty() ? value("AWS_PROFILE") : profile;
  if (name.empty()) name = "default";
  std::string path = value("AWS_SHARED_CREDENTIALS_FILE");
  if (path.empty()) path = value("HOME") + "/.aws/credentials";
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (const auto found = read_profile(text, name)) return *found;
  throw BadConfigError(
      "TR857",
      fmt::format("no keys for S3: none in the options and the environment, and no profile `{}` in {}", name, path),
      "give `access_key_id` and `secret_access_key`, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
      "name a `profile`");
}

}  // namespace tailrace::net
