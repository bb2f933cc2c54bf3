#include <fmt/format.h>

#include <cstdint>
#include <memory>

#include "cli/registrations.h"
#include "cli/row_sink_setup.h"
#include "config/schema.h"
#include "sinks/clickhouse/clickhouse_target.h"

namespace tailrace::cli {
namespace {

using clickhouse::ClickhouseSpec;
using config::Need;
using config::Object;
using config::Privacy;
using sinks::RowStyle;

enum class Packing : std::uint8_t { kAuto, kNone, kLz4, kZstd };

struct ClickhouseDraft : net::ConnectionTerms {
  ClickhouseDraft() { timeout = std::chrono::seconds(60); }

  std::string url;
  std::string database;
  std::string user;
  std::string password;
  std::string table = "{table}";
  RowStyle as = RowStyle::kState;
  bool overwrite = false;
  Packing compression = Packing::kAuto;
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
      .truth("overwrite", &ClickhouseDraft::overwrite, "Take tables that have rows already for our own.");
  object.choice<Packing>(
      "compression", &ClickhouseDraft::compression,
      {{"auto", Packing::kAuto}, {"none", Packing::kNone}, {"lz4", Packing::kLz4}, {"zstd", Packing::kZstd}},
      "How rows are packed on their way; auto: with lz4, unless the server is on this host.");
  add_server_options(object);
  return object;
}

net::Compression compression_for(Packing packing, const clickhouse::Address& address) {
  switch (packing) {
    case Packing::kNone: return net::Compression::kNone;
    case Packing::kLz4: return net::Compression::kLz4;
    case Packing::kZstd: return net::Compression::kZstd;
    case Packing::kAuto: return address.is_this_host() ? net::Compression::kNone : net::Compression::kLz4;
  }
  return net::Compression::kNone;
}

ClickhouseSpec spec_of(const ClickhouseDraft& draft) {
  ClickhouseSpec spec;
  spec.address = clickhouse::parse_url(draft.url);
  if (!draft.database.empty()) spec.address.database = draft.database;
  if (!draft.user.empty()) spec.address.user = draft.user;
  if (!draft.password.empty()) spec.address.password = draft.password;
  set_terms(spec.address, draft);
  spec.address.compression = compression_for(draft.compression, spec.address);
  spec.style = draft.as;
  spec.table = {draft.table, formats::Escaping::kNone};
  spec.overwrite = draft.overwrite;
  clickhouse::check_spec(spec);
  return spec;
}

pipeline::SinkSetup clickhouse_sink(const std::string& name, const ClickhouseDraft& draft) {
  const ClickhouseSpec spec = spec_of(draft);
  const std::string display = fmt::format("{} {} {}", spec.address.display(),
                                          spec.style == RowStyle::kState ? "rows" : "events", spec.table.text());
  return row_sink_setup(name, "clickhouse", display, [spec](const pipeline::SinkRoom& room) {
    ClickhouseSpec own = spec;
    own.pipeline = room.pipeline;
    return std::make_unique<clickhouse::ClickhouseTarget>(own);
  });
}

}  // namespace

pipeline::SinkSetup clickhouse_server(const std::string& name, const std::string& url) {
  ClickhouseDraft draft;
  draft.url = url;
  return clickhouse_sink(name, draft);
}

pipeline::SinkKind clickhouse_kind() {
  return row_sink_kind<ClickhouseDraft>("clickhouse", clickhouse_object(), clickhouse_sink);
}

}  // namespace tailrace::cli
