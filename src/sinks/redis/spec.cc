#include "sinks/redis/spec.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"

namespace tailrace::redis {
namespace {

[[noreturn]] void bad_url(const std::string& what) {
  throw BadConfigError("TR820", what, "write it as redis://user:password@host:6379/0, or rediss:// for TLS");
}

template <typename Number>
Number number(std::string_view text, const std::string& what) {
  Number value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failed != std::errc() || end != text.data() + text.size())
    bad_url(fmt::format("the {} of the Redis URL is no number in range", what));
  return value;
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
      bad_url("the Redis URL has a % that is no %XX");
    out += static_cast<char>(value);
    at += 2;
  }
  return out;
}

void read_user(std::string_view user, Address& address) {
  const std::size_t colon = user.find(':');
  if (colon == std::string_view::npos) {
    address.user = decoded(user);
    return;
  }
  address.user = decoded(user.substr(0, colon));
  address.password = decoded(user.substr(colon + 1));
}

void read_host(std::string_view host, Address& address) {
  std::string_view port;
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos) bad_url("the Redis URL has a [ without its ]");
    port = host.substr(end + 1);
    if (!port.empty() && port.front() != ':') bad_url("the Redis URL has something between ] and the port");
    if (!port.empty()) port.remove_prefix(1);
    address.host = host.substr(1, end - 1);
    if (host.size() > end + 1) address.port = number<std::uint16_t>(port, "port");
  } else {
    const std::size_t colon = host.find(':');
    address.host = host.substr(0, colon);
    if (colon != std::string_view::npos) address.port = number<std::uint16_t>(host.substr(colon + 1), "port");
  }
  if (address.host.empty()) bad_url("the Redis URL names no host");
}

}  // namespace

const char* name_of(Form form) {
  switch (form) {
    case Form::kHash: return "hash";
    case Form::kJson: return "json";
    case Form::kStream: return "stream";
    case Form::kSortedSet: return "sorted_set";
    case Form::kPublish: return "publish";
  }
  return "";
}

std::string Address::display() const {
  const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return fmt::format("{}://{}:{}/{}", tls ? "rediss" : "redis", shown, port, database);
}

Address parse_url(const std::string& url) {
  Address address;
  std::string_view rest = url;
  if (rest.starts_with("rediss://")) {
    address.tls = true;
    rest.remove_prefix(9);
  } else if (rest.starts_with("redis://")) {
    rest.remove_prefix(8);
  } else {
    bad_url("the Redis URL does not begin with redis:// or rediss://");
  }
  if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
    const std::string_view database = rest.substr(slash + 1);
    if (!database.empty()) address.database = number<std::uint32_t>(database, "database");
    rest = rest.substr(0, slash);
  }
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    read_user(rest.substr(0, at), address);
    rest = rest.substr(at + 1);
  }
  read_host(rest, address);
  return address;
}

std::string default_key(Form form) {
  const bool of_rows = form == Form::kHash || form == Form::kJson;
  return of_rows ? "{schema}.{table}:{key}" : "{schema}.{table}";
}

void check_spec(const RedisSpec& spec) {
  const auto wrong = [](const std::string& what, const std::string& remedy) {
    throw BadConfigError("TR820", what, remedy);
  };
  const bool of_rows = spec.form == Form::kHash || spec.form == Form::kJson;
  // Keys of one table have to be told from those of others: to be removed, and not to collide.
  if (spec.form != Form::kPublish && spec.form != Form::kSortedSet && !spec.key.names("table"))
    wrong("the key of the Redis sink does not name the table", "put {table} into `key`");
  if (of_rows && spec.key.text().find('{') == spec.key.text().rfind('{'))
    wrong("the key of the Redis sink is the same for all rows of a table", "put {key} into `key`");
  const bool sorted = spec.form == Form::kSortedSet;
  if (sorted && (spec.member.text().empty() || spec.score.empty()))
    wrong("a sorted set needs to know its members and their scores", "give `member` and `score`");
  if (!sorted && (!spec.member.text().empty() || !spec.score.empty()))
    wrong("`member` and `score` are for sorted sets", "say `as: sorted_set`, or leave them out");
  if (spec.max_length && spec.form != Form::kStream)
    wrong("`max_length` is for streams", "say `as: stream`, or leave it out");
}

}  // namespace tailrace::redis
