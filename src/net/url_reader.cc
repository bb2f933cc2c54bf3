#include "net/url_reader.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace tailrace::net {

UrlReader::UrlReader(std::string kind, std::string code, std::string remedy)
    : kind_(std::move(kind)), code_(std::move(code)), remedy_(std::move(remedy)) {}

void UrlReader::refuse(const std::string& what) const {
  throw BadConfigError(code_, fmt::format("the {} URL {}", kind_, what), remedy_);
}

void UrlReader::refuse_number(const std::string& what) const {
  throw BadConfigError(code_, fmt::format("the {} of the {} URL is no number in range", what, kind_), remedy_);
}

std::string UrlReader::decoded(std::string_view text) const {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(at + 1, 2);
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || failed != std::errc() || end != digits.data() + 2) refuse("has a % that is no %XX");
    out += static_cast<char>(value);
    at += 2;
  }
  return out;
}

void UrlReader::read_user(std::string_view text, ServerAddress& address) const {
  const std::size_t colon = text.find(':');
  if (colon != 0) address.user = decoded(text.substr(0, colon));
  if (colon != std::string_view::npos) address.password = decoded(text.substr(colon + 1));
}

void UrlReader::read_host(std::string_view text, ServerAddress& address) const {
  const std::size_t bracket = text.starts_with('[') ? text.find(']') : 0;
  if (bracket == std::string_view::npos) refuse("has a [ without its ]");
  const std::size_t colon = text.find(':', bracket);
  address.host = text.substr(0, colon);
  if (bracket > 0) {
    if (bracket + 1 != std::min(colon, text.size())) refuse("has something between ] and the port");
    address.host = text.substr(1, bracket - 1);
  }
  if (colon != std::string_view::npos) address.port = number<std::uint16_t>(text.substr(colon + 1), "port");
  if (address.host.empty()) refuse("names no host");
}

}  // namespace tailrace::net
