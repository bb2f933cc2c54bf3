#include "net/s3_credentials.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "net/key_services.h"

namespace tailrace::net {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

using Value = std::function<std::string(const char* name)>;

constexpr std::chrono::seconds kStsTimeout{10};

[[noreturn]] void refuse_settings(const std::string& what, const std::string& remedy) {
  throw BadConfigError("TR857", what, remedy);
}

std::string without_slash(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::shared_ptr<S3Keys> by_web_identity(const Value& value, const std::string& region) {
  WebIdentity identity;
  identity.token_file = value("AWS_WEB_IDENTITY_TOKEN_FILE");
  identity.role = value("AWS_ROLE_ARN");
  identity.session = value("AWS_ROLE_SESSION_NAME");
  if (identity.role.empty())
    refuse_settings("AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not", "set both, or none of them");
  if (identity.session.empty()) identity.session = "tailrace";
  identity.endpoint = without_slash(value("AWS_ENDPOINT_URL_STS"));
  if (identity.endpoint.empty()) identity.endpoint = without_slash(value("AWS_ENDPOINT_URL"));
  if (identity.endpoint.empty()) identity.endpoint = fmt::format("https://sts.{}.amazonaws.com", region);
  identity.terms.ca_file = value("AWS_CA_BUNDLE");
  identity.terms.timeout = kStsTimeout;
  return std::make_shared<S3Keys>([identity] { return keys_of_web_identity(identity); });
}

std::shared_ptr<S3Keys> by_container(const Value& value) {
  ContainerService service;
  service.authorization = value("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  service.authorization_file = value("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  service.url = value("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (const std::string relative = value("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); !relative.empty())
    service.url = "http://169.254.170.2" + relative;
  if (!is_safe_container_url(service.url))
    refuse_settings("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor of this host or AWS' own addresses",
                    "set it as the platform documents it");
  return std::make_shared<S3Keys>([service] { return keys_of_container(service); });
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

std::shared_ptr<S3Keys> find_s3_keys(const EnvironmentVariable& environment, const std::string& profile,
                                     const std::string& region) {
  const auto value = [&environment](const char* name) { return environment(name).value_or(""); };
  if (profile.empty() && !value("AWS_ACCESS_KEY_ID").empty() && !value("AWS_SECRET_ACCESS_KEY").empty())
    return std::make_shared<S3Keys>(
        S3Credentials{value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"), value("AWS_SESSION_TOKEN")});
  if (profile.empty() && !value("AWS_WEB_IDENTITY_TOKEN_FILE").empty()) return by_web_identity(value, region);
  const std::string name = profile.empty() ? value("AWS_PROFILE") : profile;
  std::string path = value("AWS_SHARED_CREDENTIALS_FILE");
  if (path.empty()) path = value("HOME") + "/.aws/credentials";
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (auto found = read_profile(text, name.empty() ? "default" : name))
    return std::make_shared<S3Keys>(std::move(*found));
  if (!name.empty())
    refuse_settings(fmt::format("no keys for S3: {} has no profile `{}` with keys", path, name),
                    "correct the name of the profile, or write its keys into the file");
  if (!value("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").empty() || !value("AWS_CONTAINER_CREDENTIALS_FULL_URI").empty())
    return by_container(value);
  if (value("AWS_EC2_METADATA_DISABLED") == "true")
    refuse_settings(
        fmt::format("no keys for S3: none in the options and the environment, and no profile `default` in {}", path),
        "give `access_key_id` and `secret_access_key`, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "name a `profile`");
  InstanceService instance;
  if (const std::string endpoint = value("AWS_EC2_METADATA_SERVICE_ENDPOINT"); !endpoint.empty())
    instance.endpoint = without_slash(endpoint);
  return std::make_shared<S3Keys>([instance] { return keys_of_instance(instance); });
}

}  // namespace tailrace::net
