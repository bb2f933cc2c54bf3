#include <fmt/format.h>

#include <memory>

#include "cli/registrations.h"
#include "cli/row_sink_setup.h"
#include "config/schema.h"
#include "sinks/redis/redis_target.h"

namespace tailrace::cli {
namespace {

using config::Need;
using config::Object;
using config::Privacy;
using redis::Form;
using redis::RedisSpec;

struct RedisDraft : net::ConnectionTerms {
  RedisDraft() { timeout = std::chrono::seconds(10); }

  std::string url;
  Form as = Form::kHash;
  std::string key;
  std::string member;
  std::string score;
  std::string max_length;
  bool overwrite = false;
};

Object<RedisDraft> redis_object() {
  Object<RedisDraft> object("Rows or changes in a Redis server (7.0 or later).");
  object
      .text("url", &RedisDraft::url, "`redis://user:password@host:6379/0`, or `rediss://` for TLS.", Need::kRequired,
            Privacy::kSecret)
      .choice<Form>(
          "as", &RedisDraft::as,
          {{"hash", Form::kHash},
           {"json", Form::kJson},
           {"stream", Form::kStream},
           {"sorted_set", Form::kSortedSet},
           {"publish", Form::kPublish}},
          "A hash or a JSON string for each row; a stream entry or a message for each change; a member of a sorted "
          "set for each row.")
      .text("key", &RedisDraft::key,
            "The key, or channel, with `{schema}`, `{table}`, `{key}` and `{COLUMN}`; default `{schema}.{table}:{key}` "
            "for "
            "rows, `{schema}.{table}` else.")
      .text("member", &RedisDraft::member, "Of a sorted set: the member, such as `{key}`.")
      .text("score", &RedisDraft::score, "Of a sorted set: the column that is the score.")
      .text("max_length", &RedisDraft::max_length, "Of a stream: about how many entries are kept; all, unless given.")
      .truth("overwrite", &RedisDraft::overwrite, "Take keys that are there already for our own.");
  add_server_options(object);
  return object;
}

RedisSpec spec_of(const RedisDraft& draft) {
  RedisSpec spec;
  spec.address = redis::parse_url(draft.url);
  set_terms(spec.address, draft);
  spec.form = draft.as;
  spec.key = {draft.key.empty() ? redis::default_key(draft.as) : draft.key, formats::Escaping::kParts};
  spec.member = {draft.member, formats::Escaping::kParts};
  spec.score = draft.score;
  spec.overwrite = draft.overwrite;
  if (!draft.max_length.empty()) {
    try {
      spec.max_length = std::stoull(draft.max_length);
    } catch (const std::exception&) {
      throw BadConfigError("TR820", "`max_length` is no number", "write how many entries are to be kept");
    }
  }
  redis::check_spec(spec);
  return spec;
}

pipeline::SinkSetup redis_sink(const std::string& name, const RedisDraft& draft) {
  const RedisSpec spec = spec_of(draft);
  const std::string display =
      fmt::format("{} {} {}", spec.address.display(), redis::name_of(spec.form), spec.key.text());
  return row_sink_setup(name, "redis", display, [spec](const pipeline::SinkRoom& room) {
    RedisSpec own = spec;
    own.pipeline = room.pipeline;
    return std::make_unique<redis::RedisTarget>(own);
  });
}

}  // namespace

pipeline::SinkSetup redis_server(const std::string& name, const std::string& url) {
  RedisDraft draft;
  draft.url = url;
  return redis_sink(name, draft);
}

pipeline::SinkKind redis_kind() { return row_sink_kind<RedisDraft>("redis", redis_object(), redis_sink); }

}  // namespace tailrace::cli
