#include "sinks/clickhouse/spec.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "base/error.h"

namespace tailrace::clickhouse {
namespace {

[[noreturn]] void bad_url(const std::string& what) {
  throw BadConfigError("TR848", what, "write it as clickhouse://user:password@host:8123/database, or clickhouses://");
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(at + 1, 2);
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || failed != std::errc() || end != digits.data() + 2)
      bad_url("the ClickHouse URL has a % that is no %XX");
    out += static_cast<char>(value);
    at += 2;
  }
  return out;
}

std::uint16_t read_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || failed != std::errc() || end != text.data() + text.size() || port == 0)
    bad_url("the port of the ClickHouse URL is no number in range");
  return port;
}

void read_host(std::string_view host, Address& address) {
  const std::size_t bracket = host.starts_with('[') ? host.find(']') : 0;
  if (bracket == std::string_view::npos) bad_url("the ClickHouse URL has a [ without its ]");
  const std::size_t colon = host.find(':', bracket);
  address.host = host.substr(0, colon);
  if (bracket > 0) {
    if (bracket + 1 != std::min(colon, host.size())) bad_url("the ClickHouse URL has something between ] and the port");
    address.host = host.substr(1, bracket - 1);
  }
  if (colon != std::string_view::npos) address.port = read_port(host.substr(colon + 1));
  if (address.host.empty()) bad_url("the ClickHouse URL names no host");
}

struct Scheme {
  std::string_view name;
  bool tls;
};
constexpr std::array<Scheme, 4> kSchemes = {
    {{"clickhouse://", false}, {"clickhouses://", true}, {"http://", false}, {"https://", true}}};

void append_escaped(std::string_view text, char quote, std::string& out) {
  out += quote;
  for (const char c : text) {
    if (c == quote || c == '\\') out += '\\';
    out += c;
  }
  out += quote;
}

}  // namespace

std::string Address::display() const {
  const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return fmt::format("{}://{}:{}/{}", tls ? "clickhouses" : "clickhouse", shown, port, database);
}

Address parse_url(const std::string& url) {
  Address address;
  std::string_view rest = url;
  for (const Scheme& scheme : kSchemes) {
    if (!rest.starts_with(scheme.name)) continue;
    address.tls = scheme.tls;
    if (scheme.tls) address.port = 8443;
    rest.remove_prefix(scheme.name.size());
    break;
  }
  if (rest.size() == url.size()) bad_url("the ClickHouse URL does not begin with clickhouse:// or clickhouses://");
  address.user = "default";
  address.database = "default";
  if (const std::size_t slash = rest.find('/', rest.rfind('@') + 1); slash != std::string_view::npos) {
    const std::string_view database = rest.substr(slash + 1);
    if (database.find_first_of("/?#") != std::string_view::npos)
      bad_url("the ClickHouse URL has more than a database behind its host");
    if (!database.empty()) address.database = decoded(database);
    rest = rest.substr(0, slash);
  }
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    const std::string_view user = rest.substr(0, at);
    const std::size_t colon = user.find(':');
    if (colon != 0) address.user = decoded(user.substr(0, colon));
    if (colon != std::string_view::npos) address.password = decoded(user.substr(colon + 1));
    rest = rest.substr(at + 1);
  }
  read_host(rest, address);
  // They go into headers, a line each.
  if ((address.user + address.password).find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
    bad_url("the user or password of the ClickHouse URL has a line break in it");
  return address;
}

std::string ClickhouseSpec::state_name() const {
  return fmt::format("{}:{}:{}", pipeline, style == sinks::RowStyle::kState ? "rows" : "events", table.text());
}

void check_spec(const ClickhouseSpec& spec) {
  if (spec.table.names("key"))
    throw BadConfigError("TR848", "`table` of a ClickHouse sink has {key} in it, which differs from row to row",
                         "name the table by {schema} and {table}");
  if (spec.table.text().empty())
    throw BadConfigError("TR848", "`table` of a ClickHouse sink is empty", "say something like {schema}_{table}");
}

std::string identifier(std::string_view name) {
  std::string out;
  append_escaped(name, '`', out);
  return out;
}

std::string literal(std::string_view text) {
  std::string out;
  append_escaped(text, '\'', out);
  return out;
}

}  // namespace tailrace::clickhouse
