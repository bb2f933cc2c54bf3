#include "sinks/webhook/spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "net/digest.h"

namespace tailrace::webhook {
namespace {

[[noreturn]] void wrong(const std::string& what, const std::string& remedy) {
  throw BadConfigError("TR830", what, remedy);
}

/// Scheme, user, host and port.
std::string_view authority(std::string_view url) {
  const std::size_t begin = url.find("://");
  if (begin == std::string_view::npos) return {};
  return url.substr(0, url.find_first_of("/?#", begin + 3));
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool is_token(std::string_view name) {
  static constexpr std::string_view kAlso = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kAlso.find(c) != std::string_view::npos;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

void check_url(const std::string& url) {
  const char* remedy = "write it as https://host/path, with {COLUMN} only in path and query";
  if (!url.starts_with("http://") && !url.starts_with("https://"))
    wrong("the URL of the webhook does not begin with http:// or https://", remedy);
  const std::string_view where = authority(url);
  if (where.ends_with("//") || where.ends_with('@')) wrong("the URL of the webhook names no host", remedy);
  // A row is not to choose the server.
  if (where.find_first_of("{}") != std::string_view::npos)
    wrong("the URL of the webhook has a template in its host", remedy);
  if (url.find('#') != std::string::npos) wrong("the URL of the webhook has a fragment, which is never sent", remedy);
  if (std::ranges::any_of(url, [](char c) { return is_control(c) || c == ' '; }))
    wrong("the URL of the webhook has white space in it", "write a space as %20");
}

void check_header(const HeaderTemplate& header) {
  static constexpr std::array<std::string_view, 7> kOurs = {
      "connection", "content-length", "expect", "host", "idempotency-key", "tailrace-signature", "transfer-encoding"};
  if (!is_token(header.name)) wrong("the webhook has a header whose name is none", "give it letters, digits and -");
  if (std::ranges::find(kOurs, lower(header.name)) != kOurs.end())
    wrong(fmt::format("the header `{}` is made by Tailrace itself", header.name),
          "leave it out; `idempotency_key` and `secret` decide what it says");
  if (std::ranges::any_of(header.value.text(), is_control))
    wrong(fmt::format("the header `{}` has a control character in its value", header.name), "write it in one line");
}

}  // namespace

std::string WebhookSpec::display() const {
  const std::string_view where = authority(url.text());
  const std::size_t scheme = where.find("://") + 3;
  const std::size_t user = where.rfind('@');
  const std::string_view host = where.substr(user == std::string_view::npos ? scheme : user + 1);
  return fmt::format("{}{}/… ({})", where.substr(0, scheme), host, net::sha256_hex(url.text()).substr(0, 8));
}

std::string WebhookSpec::origin() const { return std::string(authority(url.text())); }

std::size_t WebhookSpec::most_changes() const { return std::max(16 * parallel, 4 * batch_rows); }

void check_spec(const WebhookSpec& spec) {
  static constexpr std::array<std::string_view, 4> kMethods = {"POST", "PUT", "PATCH", "DELETE"};
  check_url(spec.url.text());
  if (std::ranges::find(kMethods, spec.method) == kMethods.end())
    wrong("the method of the webhook is none that it can have", "write POST, PUT, PATCH or DELETE");
  for (const HeaderTemplate& header : spec.headers) check_header(header);
  if (spec.batch_rows > 0 && !spec.key_column.empty())
    wrong("the webhook has an `idempotency_key` column, but many rows in a request", "leave one of them out");
  if (spec.http.certificate_file.empty() != spec.http.key_file.empty())
    wrong("the webhook has a certificate without its key, or a key without its certificate", "give both");
}

}  // namespace tailrace::webhook
