#include "sinks/redis/spec.h"

#include <fmt/format.h>

#include "base/error.h"
#include "net/url_reader.h"

namespace tailrace::redis {
namespace {

net::UrlReader url_reader() {
  return {"Redis", "TR820", "write it as redis://user:password@host:6379/0, or rediss:// for TLS"};
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
  return fmt::format("{}://{}/{}", tls ? "rediss" : "redis", authority(), database);
}

Address parse_url(const std::string& url) {
  const net::UrlReader reader = url_reader();
  Address address;
  address.port = 6379;
  address.timeout = std::chrono::seconds(10);
  std::string_view rest = url;
  if (rest.starts_with("rediss://")) {
    address.tls = true;
    rest.remove_prefix(9);
  } else if (rest.starts_with("redis://")) {
    rest.remove_prefix(8);
  } else {
    reader.refuse("does not begin with redis:// or rediss://");
  }
  if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
    const std::string_view database = rest.substr(slash + 1);
    if (!database.empty()) address.database = reader.number<std::uint32_t>(database, "database");
    rest = rest.substr(0, slash);
  }
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    reader.read_user(rest.substr(0, at), address);
    rest = rest.substr(at + 1);
  }
  reader.read_host(rest, address);
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
