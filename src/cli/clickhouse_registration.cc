#include <fmt/format.h>

#include <memory>
#include <utility>

#include "cli/registrations.h"
#include "config/schema.h"
#include "sinks/clickhouse/clickhouse_target.h"
#include "sinks/row_sink.h"

namespace tailrace::cli {
namespace {

using clickhouse::ClickhouseSpec;
using config::Need;
using config::Node;
using config::Object;
using config::Privacy;
using config::Reading;
using sinks::RowStyle;

struct ClickhouseDraft {
  std::string url;
  std::string database;
  std::string user;
  std::string password;
  std::string table = "{table}";
  RowStyle as = RowStyle::kState;
  bool overwrite = false;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::chrono::milliseconds timeout{60'000};
};

Object<ClickhouseDraft> clickhouse_object() {
  Object<ClickhouseDraft> object("Tables in a ClickHouse server (23.2 or later), over HTTP.");
  object
      .text(
          "url", &ClickhouseDraft::url,
          "`clickhouse://user:password@host:8123/database`, or `clickhouses://` for TLS; `http://` and `https://` mean "
          "the same.",
          Need::kRequired, Privacy::kSecret)
      .text("database", &ClickhouseDraft::database, "The database; default: what the URL says.")
      .text("user", &ClickhouseDraft::user, "The user; default: what the URL says.")
      .text("password", &ClickhouseDraft::password, "The password; default: what the URL says.", Need::kOptional,
            Privacy::kSecret)
      .text("table", &ClickhouseDraft::table, "What a table is called there, with `{schema}` and `{table}`.")
      .choice<RowStyle>("as", &ClickhouseDraft::as, {{"rows", RowStyle::kState}, {"events", RowStyle::kEvents}},
                        "The last version of each row, in a ReplacingMergeTree; or every change, in a MergeTree.")
      .truth("overwrite", &ClickhouseDraft::overwrite, "Take tables that have rows already for our own.")
      .text("ca_file", &ClickhouseDraft::ca_file, "TLS: the authority to trust (PEM); default: the system's.")
      .text("certificate_file", &ClickhouseDraft::certificate_file, "TLS: our certificate (PEM).")
      .text("key_file", &ClickhouseDraft::key_file, "TLS: its key (PEM).")
      .duration("timeout", &ClickhouseDraft::timeout, "How long connecting and an answer may take.");
  return object;
}

ClickhouseSpec spec_of(const ClickhouseDraft& draft) {
  ClickhouseSpec spec;
  spec.address = clickhouse::parse_url(draft.url);
  if (!draft.database.empty()) spec.address.database = draft.database;
  if (!draft.user.empty()) spec.address.user = draft.user;
  if (!draft.password.empty()) spec.address.password = draft.password;
  spec.address.ca_file = draft.ca_file;
  spec.address.certificate_file = draft.certificate_file;
  spec.address.key_file = draft.key_file;
  spec.address.timeout = draft.timeout;
  spec.style = draft.as;
  spec.table = {draft.table, formats::Escaping::kNone};
  spec.overwrite = draft.overwrite;
  clickhouse::check_spec(spec);
  return spec;
}

pipeline::SinkSetup clickhouse_sink(const std::string& name, const ClickhouseSpec& spec) {
  pipeline::SinkSetup setup;
  setup.name = name;
  setup.kind = "clickhouse";
  setup.display = fmt::format("{} {} {}", spec.address.display(), spec.style == RowStyle::kState ? "rows" : "events",
                              spec.table.text());
  const auto made = [spec](const std::string& pipeline) {
    ClickhouseSpec own = spec;
    own.pipeline = pipeline;
    return std::make_unique<clickhouse::ClickhouseTarget>(own);
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

pipeline::SinkSetup clickhouse_server(const std::string& name, const std::string& url) {
  ClickhouseDraft draft;
  draft.url = url;
  return clickhouse_sink(name, spec_of(draft));
}

pipeline::SinkKind clickhouse_kind() {
  const Object<ClickhouseDraft> object = clickhouse_object();
  return {.name = "clickhouse",
          .doc = object.doc(),
          .read = [object](const Node& node, const Reading& reading, const std::string& sink) {
            ClickhouseDraft draft;
            object.read(draft, node, reading);
            try {
              return clickhouse_sink(sink, spec_of(draft));
            } catch (const BadConfigError& error) {
              throw reading.error(error.code(), error.what(), error.remedy(), node);
            }
          }};
}

}  // namespace tailrace::cli
