#include <fmt/format.h>

#include <memory>
#include <utility>

#include "cli/registrations.h"
#include "config/schema.h"
#include "sinks/redis/redis_target.h"
#include "sinks/row_sink.h"

namespace tailrace::cli {
namespace {

using config::Need;
using config::Node;
using config::Object;
using config::Privacy;
using config::Reading;
using redis::Form;
using redis::RedisSpec;

struct RedisDraft {
  std::string url;
  Form as = Form::kHash;
  std::string key;
  std::string member;
  std::string score;
  std::string max_length;
  bool overwrite = false;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::chrono::milliseconds timeout{10'000};
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
      .truth("overwrite", &RedisDraft::overwrite, "Take keys that are there already for our own.")
      .text("ca_file", &RedisDraft::ca_file, "TLS: the authority to trust (PEM); default: the system's.")
      .text("certificate_file", &RedisDraft::certificate_file, "TLS: our certificate (PEM).")
      .text("key_file", &RedisDraft::key_file, "TLS: its key (PEM).")
      .duration("timeout", &RedisDraft::timeout, "How long connecting and an answer may take.");
  return object;
}

RedisSpec spec_of(const RedisDraft& draft) {
  RedisSpec spec;
  spec.address = redis::parse_url(draft.url);
  spec.address.ca_file = draft.ca_file;
  spec.address.certificate_file = draft.certificate_file;
  spec.address.key_file = draft.key_file;
  spec.address.timeout = draft.timeout;
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

pipeline::SinkSetup redis_sink(const std::string& name, const RedisSpec& spec) {
  pipeline::SinkSetup setup;
  setup.name = name;
  setup.kind = "redis";
  setup.display = fmt::format("{} {} {}", spec.address.display(), redis::name_of(spec.form), spec.key.text());
  const auto made = [spec](const std::string& pipeline) {
    RedisSpec own = spec;
    own.pipeline = pipeline;
    return std::make_unique<redis::RedisTarget>(own);
  };
  setup.make = [made, display = setup.display](const pipeline::SinkRoom& room) -> std::unique_ptr<sinks::Sink> {
    sinks::RowSinkSpec row_spec{room.pipeline, room.source_id, display, room.wanted};
    return std::make_unique<sinks::RowSink>(std::move(row_spec), made(room.pipeline));
  };
  setup.check = [made](const pipeline::TargetToCheck& target) -> std::string {
    return made(target.pipeline)->open().empty() ? "reachable, nothing of this pipeline is there yet"
                                                 : "reachable, goes on from its cursor";
  };
  return setup;
}

}  // namespace

pipeline::SinkSetup redis_server(const std::string& name, const std::string& url) {
  RedisDraft draft;
  draft.url = url;
  return redis_sink(name, spec_of(draft));
}

pipeline::SinkKind redis_kind() {
  const Object<RedisDraft> object = redis_object();
  return {.name = "redis",
          .doc = object.doc(),
          .read = [object](const Node& node, const Reading& reading, const std::string& sink) {
            RedisDraft draft;
            object.read(draft, node, reading);
            try {
              return redis_sink(sink, spec_of(draft));
            } catch (const BadConfigError& error) {
              throw reading.error(error.code(), error.what(), error.remedy(), node);
            }
          }};
}

}  // namespace tailrace::cli
