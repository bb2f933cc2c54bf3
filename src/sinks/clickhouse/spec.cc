#include "sinks/clickhouse/spec.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/error.h"
#include "net/url_reader.h"

namespace tailrace::clickhouse {
namespace {

net::UrlReader url_reader() {
  return {"ClickHouse", "TR848", "write it as clickhouse://user:password@host:8123/database, or clickhouses://"};
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
  return fmt::format("{}://{}/{}", tls ? "clickhouses" : "clickhouse", authority(), database);
}

Address parse_url(const std::string& url) {
  const net::UrlReader reader = url_reader();
  Address address;
  std::string_view rest = url;
  for (const Scheme& scheme : kSchemes) {
    if (!rest.starts_with(scheme.name)) continue;
    address.tls = scheme.tls;
    rest.remove_prefix(scheme.name.size());
    break;
  }
  if (rest.size() == url.size()) reader.refuse("does not begin with clickhouse:// or clickhouses://");
  address.port = address.tls ? 8443 : 8123;
  address.timeout = std::chrono::seconds(60);
  address.user = "default";
  address.database = "default";
  if (const std::size_t slash = rest.find('/', rest.rfind('@') + 1); slash != std::string_view::npos) {
    const std::string_view database = rest.substr(slash + 1);
    if (database.find_first_of("/?#") != std::string_view::npos)
      reader.refuse("has more than a database behind its host");
    if (!database.empty()) address.database = reader.decoded(database);
    rest = rest.substr(0, slash);
  }
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    reader.read_user(rest.substr(0, at), address);
    rest = rest.substr(at + 1);
  }
  reader.read_host(rest, address);
  if (address.port == 0) reader.refuse_number("port");
  // They go into headers, a line each.
  if ((address.user + address.password).find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
    reader.refuse("has a line break in its user or password");
  return address;
}

std::string ClickhouseSpec::state_name() const {
  return fmt::format("{}:{}:{}", pipeline, style == sinks::RowStyle::kState ? "rows" : "events", table.text());
}

std::string ClickhouseSpec::mark_of_inserts() const { return "tailrace " + state_name(); }

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
