#include "net/key_services.h"

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "net/curl_handle.h"
#include "net/curl_headers.h"
#include "net/xml_text.h"

namespace tailrace::net {
namespace {

constexpr std::size_t kLongestKeyAnswer = 1U << 20;
constexpr std::chrono::milliseconds kNear{2000};

struct Answer {
  long status = 0;
  std::string body;
};

std::size_t take_key_answer(char* data, std::size_t size, std::size_t count, void* into) {
  auto* body = static_cast<std::string*>(into);
  if (body->size() + size * count > kLongestKeyAnswer) return 0;
  body->append(data, size * count);
  return size * count;
}

/// `form`: null for a question without a body.
Answer ask(const std::string& from, const ConnectionTerms& terms, const char* method, const std::string& url,
           const std::vector<std::string>& headers, const std::string* form = nullptr) {
  CurlHandle curl(terms);
  HeaderList list;
  for (const std::string& header : headers) list.add(header);
  Answer answer;
  curl.set(CURLOPT_TIMEOUT_MS, static_cast<long>(terms.timeout.count()));
  curl.set(CURLOPT_WRITEFUNCTION, take_key_answer);
  curl.set(CURLOPT_WRITEDATA, &answer.body);
  curl.set(CURLOPT_URL, url.c_str());
  curl.set(CURLOPT_HTTPHEADER, list.get());
  if (form != nullptr) {
    curl.set(CURLOPT_POSTFIELDSIZE, static_cast<long>(form->size()));
    curl.set(CURLOPT_POSTFIELDS, form->c_str());
  }
  curl.set(CURLOPT_CUSTOMREQUEST, method);
  if (const CURLcode result = curl.perform(); result != CURLE_OK)
    throw RetryError("TR910", fmt::format("{} gives no keys for S3: {}", from, curl.failure(result)),
                     "see that it can be reached from here, or give keys");
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  return answer;
}

[[noreturn]] void give_no_keys(const std::string& from, const std::string& why) {
  throw RefusedError("TR911", fmt::format("{} gives no keys for S3: {}", from, why),
                     "see that this host, container or identity has a role, and what the role trusts");
}

/// `code`: what the service itself says; may be empty.
void must_be_fine(const std::string& from, const Answer& answer, const std::string& code = {}) {
  if (answer.status == 200) return;
  const std::string why = fmt::format("it answers {}{}{}", answer.status, code.empty() ? "" : " ", code);
  if (answer.status >= 500 || answer.status == 429 || answer.status == 408 || code == "IDPCommunicationError" ||
      code == "Throttling")
    throw RetryError("TR910", fmt::format("{} gives no keys for S3: {}", from, why), "it is asked again");
  give_no_keys(from, why);
}

std::string read_file(const std::string& from, const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (!file || text.empty()) give_no_keys(from, fmt::format("the file {} cannot be read or is empty", path));
  return text;
}

LentKeys lent(const std::string& from, S3Credentials keys, const std::string& until) {
  if (keys.access_key.empty() || keys.secret_key.empty()) give_no_keys(from, "its answer has no keys");
  LentKeys out{std::move(keys), std::nullopt};
  if (until.empty()) return out;
  out.until = read_time(until);
  if (!out.until) give_no_keys(from, "its answer has no time that can be read");
  return out;
}

}  // namespace

LentKeys read_lent_keys(std::string_view json, const std::string& from) {
  const auto answer = nlohmann::json::parse(json, nullptr, false);
  if (!answer.is_object()) give_no_keys(from, "its answer is no JSON object");
  const auto text = [&answer](const char* name) {
    const auto found = answer.find(name);
    return found != answer.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (const std::string code = text("Code"); !code.empty() && code != "Success") give_no_keys(from, "it says " + code);
  return lent(from, {text("AccessKeyId"), text("SecretAccessKey"), text("Token")}, text("Expiration"));
}

LentKeys keys_of_web_identity(const WebIdentity& of) {
  const std::string from = fmt::format("the security token service {}", of.endpoint);
  const std::string token = read_file(from, of.token_file);
  const std::string form = fmt::format(
      "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}&WebIdentityToken={}",
      uri_encoded(of.role, false), uri_encoded(of.session, false), uri_encoded(token, false));
  const Answer answer =
      ask(from, of.terms, "POST", of.endpoint + "/", {"content-type: application/x-www-form-urlencoded"}, &form);
  must_be_fine(from, answer, text_of(answer.body, "Code"));
  return lent(from,
              {text_of(answer.body, "AccessKeyId"), text_of(answer.body, "SecretAccessKey"),
               text_of(answer.body, "SessionToken")},
              text_of(answer.body, "Expiration"));
}

bool is_safe_container_url(std::string_view url) {
  if (url.starts_with("https://")) return true;
  static constexpr std::array<std::string_view, 6> kTrusted = {"127.0.0.1",     "localhost",      "[::1]",
                                                               "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
  constexpr std::string_view kHttp = "http://";
  if (!url.starts_with(kHttp)) return false;
  url.remove_prefix(kHttp.size());
  for (const std::string_view host : kTrusted) {
    if (!url.starts_with(host)) continue;
    const std::string_view rest = url.substr(host.size());
    // "127.0.0.1:80@elsewhere" is elsewhere.
    if (url.substr(0, url.find('/')).find('@') == std::string_view::npos &&
        (rest.empty() || rest.front() == ':' || rest.front() == '/'))
      return true;
  }
  return false;
}

LentKeys keys_of_container(const ContainerService& of) {
  const std::string from = "the credentials service of this container";
  std::vector<std::string> headers;
  const std::string authorization =
      of.authorization_file.empty() ? of.authorization : read_file(from, of.authorization_file);
  if (authorization.find_first_of("\r\n") != std::string::npos)
    give_no_keys(from, "the token for it has several lines");
  if (!authorization.empty()) headers.push_back("authorization: " + authorization);
  ConnectionTerms terms;
  terms.timeout = kNear;
  const Answer answer = ask(from, terms, "GET", of.url, headers);
  must_be_fine(from, answer);
  return read_lent_keys(answer.body, from);
}

LentKeys keys_of_instance(const InstanceService& of) {
  const std::string from = fmt::format("the instance metadata service {}", of.endpoint);
  ConnectionTerms terms;
  terms.timeout = kNear;
  const Answer session =
      ask(from, terms, "PUT", of.endpoint + "/latest/api/token", {"x-aws-ec2-metadata-token-ttl-seconds: 300"});
  must_be_fine(from, session);
  const std::vector<std::string> headers = {"x-aws-ec2-metadata-token: " + session.body};
  const std::string place = of.endpoint + "/latest/meta-data/iam/security-credentials/";
  const Answer roles = ask(from, terms, "GET", place, headers);
  if (roles.status == 404) give_no_keys(from, "this host has no role");
  must_be_fine(from, roles);
  const std::string role = roles.body.substr(0, roles.body.find_first_of("\r\n"));
  if (role.empty()) give_no_keys(from, "this host has no role");
  const Answer answer = ask(from, terms, "GET", place + uri_encoded(role, false), headers);
  must_be_fine(from, answer);
  return read_lent_keys(answer.body, from);
}

}  // namespace tailrace::net
