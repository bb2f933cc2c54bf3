#include <fmt/format.h>

#include <memory>
#include <utility>

#include "cli/registrations.h"
#include "cli/row_sink_setup.h"
#include "config/schema.h"
#include "sinks/webhook/webhook_target.h"

namespace tailrace::cli {
namespace {

using config::FieldDoc;
using config::Need;
using config::Node;
using config::Object;
using config::Privacy;
using config::Reading;
using webhook::WebhookSpec;

struct BodyDraft {
  std::vector<std::string> columns;
};

struct BatchDraft {
  std::size_t rows = 0;
};

struct WebhookDraft : net::ConnectionTerms {
  WebhookDraft() { timeout = std::chrono::seconds(10); }

  std::string url;
  std::string method = "POST";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  BodyDraft body_columns;
  std::string idempotency_key;
  std::string secret;
  BatchDraft batch;
  std::size_t parallel = 8;
  std::string proxy;
};

constexpr std::int64_t kMostRows = 10'000;
constexpr std::int64_t kMostParallel = 256;

void add_message(Object<WebhookDraft>& object) {
  Object<BodyDraft> body_map("The body.");
  body_map.texts("columns", &BodyDraft::columns, "These columns of the row as a JSON object.");
  FieldDoc headers;
  headers.name = "headers";
  headers.doc = "Headers by their names; `{COLUMN}` and the like stand for the row's values.";
  headers.type = "map of text";
  headers.secret = true;
  FieldDoc body;
  body.name = "body";
  body.doc =
      "The change as a JSON object, unless given: a text with `{COLUMN}` and the like, whose values are escaped for "
      "JSON "
      "strings, or a map with `columns`, which are sent as an object.";
  body.type = "text, or map";
  object
      .text("url", &WebhookDraft::url,
            "`https://host/path`, with `{schema}`, `{table}`, `{key}` and `{COLUMN}` in path and query; values are "
            "escaped.",
            Need::kRequired, Privacy::kSecret)
      .text("method", &WebhookDraft::method, "POST, PUT, PATCH or DELETE.")
      .other(std::move(headers),
             [](WebhookDraft& into, const Node& node, const Reading& reading) {
               if (node.kind != Node::Kind::kMap) throw reading.wrong(node, "a map of headers");
               for (const config::Entry& entry : node.entries)
                 into.headers.emplace_back(entry.key, reading.text(entry.value));
             })
      .other(std::move(body), [body_map](WebhookDraft& into, const Node& node, const Reading& reading) {
        if (node.kind == Node::Kind::kMap) {
          body_map.read(into.body_columns, node, reading);
        } else {
          into.body = reading.text(node);
        }
      });
}

Object<WebhookDraft> webhook_object() {
  Object<WebhookDraft> object("Changes as requests to an HTTP server.");
  add_message(object);
  Object<BatchDraft> batch("Many changes in a request, as a JSON array.");
  batch.integer("rows", &BatchDraft::rows, 0, kMostRows, "At most so many; 0: each has a request of its own.");
  object
      .text("idempotency_key", &WebhookDraft::idempotency_key,
            "The column whose value is the `Idempotency-Key`; unless given, the change's place in the source.")
      .text("secret", &WebhookDraft::secret, "Bodies are signed with it (HMAC-SHA256, header `Tailrace-Signature`).",
            Need::kOptional, Privacy::kSecret)
      .object("batch", &WebhookDraft::batch, batch)
      .integer("parallel", &WebhookDraft::parallel, 1, kMostParallel,
               "Requests under way at a time; changes of one row never pass each other. 1: all in order.")
      .text("proxy", &WebhookDraft::proxy, "The proxy to go through; none, unless given.", Need::kOptional,
            Privacy::kSecret);
  add_server_options(object);
  return object;
}

WebhookSpec spec_of(const WebhookDraft& draft) {
  WebhookSpec spec;
  spec.url = {draft.url, formats::Escaping::kUrl};
  spec.method = draft.method;
  for (const auto& [name, value] : draft.headers) spec.headers.push_back({name, {value, formats::Escaping::kNone}});
  spec.body = {draft.body, formats::Escaping::kJson};
  spec.body_columns = draft.body_columns.columns;
  spec.key_column = draft.idempotency_key;
  spec.secret = draft.secret;
  spec.batch_rows = draft.batch.rows;
  spec.parallel = draft.parallel;
  set_terms(spec.http, draft);
  spec.http.proxy = draft.proxy;
  webhook::check_spec(spec);
  return spec;
}

pipeline::SinkSetup webhook_sink(const std::string& name, const WebhookDraft& draft) {
  const WebhookSpec spec = spec_of(draft);
  pipeline::SinkSetup setup = row_sink_setup(name, "webhook", spec.display(), [spec](const pipeline::SinkRoom& room) {
    WebhookSpec own = spec;
    own.pipeline = room.pipeline;
    return std::make_unique<webhook::WebhookTarget>(own, room.state);
  });
  setup.most_changes = spec.most_changes();
  // A receiver keeps nothing that could be asked for.
  setup.check = [spec](const pipeline::TargetToCheck& target) -> std::string {
    static_cast<void>(target);
    if (const std::string failure = webhook::HttpClient(spec.http).try_connection(spec.origin()); !failure.empty())
      throw RetryError("TR831", fmt::format("no answer from {}: {}", spec.display(), failure),
                       "is the receiver running, and is the address right?");
    return "reachable";
  };
  return setup;
}

}  // namespace

pipeline::SinkSetup webhook_receiver(const std::string& name, const std::string& url) {
  WebhookDraft draft;
  draft.url = url;
  return webhook_sink(name, draft);
}

pipeline::SinkKind webhook_kind() { return row_sink_kind<WebhookDraft>("webhook", webhook_object(), webhook_sink); }

}  // namespace tailrace::cli
