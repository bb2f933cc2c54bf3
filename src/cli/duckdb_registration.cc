#include <fmt/format.h>

#include <utility>

#include "cli/moment.h"
#include "cli/registrations.h"
#include "config/schema.h"
#include "sinks/duckdb/backup.h"
#include "sinks/duckdb/duckdb_comparison.h"
#include "sinks/duckdb/duckdb_sink.h"
#include "sinks/duckdb/query.h"
#include "sinks/duckdb/row_conditions.h"
#include "sinks/duckdb/safety_files.h"
#include "sinks/duckdb/target_check.h"

namespace tailrace::cli {
namespace {

using config::FieldDoc;
using config::Need;
using config::Node;
using config::Object;
using config::Reading;
using duckdb::DroppedColumns;
using duckdb::DuckdbSpec;
using duckdb::OnUnrepresentable;

struct DuckdbDraft {
  std::string path;
  std::vector<std::string> history;
  bool intermediate = false;
  bool safety = true;
  unsigned threads = DuckdbSpec().threads;
  OnUnrepresentable on_unrepresentable = OnUnrepresentable::kDeadLetter;
  DroppedColumns dropped_columns = DroppedColumns::kHold;
  std::optional<std::chrono::milliseconds> release_when_idle;
};

Object<DuckdbDraft> history_object() {
  Object<DuckdbDraft> history("Tables that also keep every version of their rows.");
  history.texts("tables", &DuckdbDraft::history, "Patterns `schema.table` (`tailrace docs table-patterns`).")
      .truth("intermediate", &DuckdbDraft::intermediate,
             "Keep versions that began and ended inside one transaction of the source.")
      .truth("safety", &DuckdbDraft::safety,
             "Export histories to Parquet files beside the file, from which they are made again when it breaks.");
  return history;
}

Object<DuckdbDraft> duckdb_object() {
  const Object<DuckdbDraft> history_map = history_object();
  FieldDoc history;
  history.name = "history";
  history.doc =
      "Tables that also get `TABLE__history`: true for all, a list of patterns, or a map with `tables`, `intermediate` "
      "and `safety`.";
  history.type = "true or false, list of text, or map";
  Object<DuckdbDraft> object("A DuckDB file that mirrors the source.");
  object.text("path", &DuckdbDraft::path, "The file; made when it is missing.", Need::kRequired)
      .other(std::move(history),
             [history_map](DuckdbDraft& into, const Node& node, const Reading& reading) {
               if (node.kind == Node::Kind::kMap) {
                 history_map.read(into, node, reading);
               } else if (node.kind == Node::Kind::kScalar && !node.quoted &&
                          (node.text == "true" || node.text == "false")) {
                 into.history.clear();
                 if (reading.truth(node)) into.history.emplace_back("*.*");
               } else {
                 into.history = reading.texts(node);
               }
             })
      .choice<OnUnrepresentable>(
          "on_unrepresentable", &DuckdbDraft::on_unrepresentable,
          {{"dead_letter", OnUnrepresentable::kDeadLetter}, {"text", OnUnrepresentable::kText}},
          "A value that DuckDB's type cannot hold: a dead letter, or columns of such types become text.")
      .choice<DroppedColumns>(
          "dropped_columns", &DuckdbDraft::dropped_columns,
          {{"hold", DroppedColumns::kHold}, {"drop", DroppedColumns::kDrop}, {"keep", DroppedColumns::kKeep}},
          "A column that was dropped at the source: the table is held, the column is dropped here, "
          "too, or it stays with its values.")
      .integer("threads", &DuckdbDraft::threads, 1, 256, "DuckDB's threads.")
      .duration("release_when_idle", &DuckdbDraft::release_when_idle,
                "Let go of the file when nothing flowed for so long, so that others can open it.");
  return object;
}

duckdb::QueryFormat format_of(pipeline::QueryFormat format) {
  switch (format) {
    case pipeline::QueryFormat::kTable: return duckdb::QueryFormat::kTable;
    case pipeline::QueryFormat::kCsv: return duckdb::QueryFormat::kCsv;
    case pipeline::QueryFormat::kJson: return duckdb::QueryFormat::kJson;
    case pipeline::QueryFormat::kJsonLines: return duckdb::QueryFormat::kJsonLines;
    case pipeline::QueryFormat::kParquet: return duckdb::QueryFormat::kParquet;
  }
  return duckdb::QueryFormat::kTable;
}

std::optional<duckdb::AsOf> moment_of(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const Moment moment = parse_moment(text, "--as-of");
  if (moment.lsn) return duckdb::AsOf{.time = std::nullopt, .lsn = moment.lsn};
  return duckdb::AsOf{.time = moment.time, .lsn = std::nullopt};
}

void query_duckdb(const std::filesystem::path& path, const pipeline::QueryRequest& request,
                  const pipeline::QueryOutput& output, std::stop_token stop) {
  duckdb::DuckdbQuery query(path);
  const std::stop_callback on_stop(stop, [&query] { query.interrupt(); });
  query.run({.sql = request.sql, .format = format_of(request.format), .as_of = moment_of(request.as_of)}, output);
}

DuckdbSpec owned_by(DuckdbSpec spec, const pipeline::TargetToCheck& target) {
  spec.pipeline = target.pipeline;
  spec.source_id = target.source_id;
  return spec;
}

std::string describe(const duckdb::BackupFacts& facts) {
  return fmt::format("{} tables, {} bytes, up to {}", facts.tables, facts.bytes,
                     facts.cursor ? facts.cursor->position.commit_end.str() : "nothing, its copy is not finished");
}

pipeline::SinkSetup duckdb_sink(const std::string& name, const DuckdbSpec& given) {
  DuckdbSpec spec = given;
  spec.path = std::filesystem::absolute(spec.path).lexically_normal();
  pipeline::SinkSetup setup;
  setup.name = name;
  setup.kind = "duckdb";
  setup.display = spec.path.string();
  setup.release_when_idle = spec.release_when_idle;
  setup.check = [spec](const pipeline::TargetToCheck& target) {
    return duckdb::check_target(owned_by(spec, target), target.tables);
  };
  setup.query = [path = spec.path](const pipeline::QueryRequest& request, const pipeline::QueryOutput& output,
                                   std::stop_token stop) { query_duckdb(path, request, output, std::move(stop)); };
  setup.compare = [spec] { return duckdb::compare_duckdb(spec); };
  setup.make = [spec](const pipeline::SinkRoom& room) -> std::unique_ptr<sinks::Sink> {
    DuckdbSpec made = spec;
    made.pipeline = room.pipeline;
    made.source_id = room.source_id;
    made.wanted = room.wanted;
    made.rules = room.rules;
    made.apply_later = room.apply_later;
    made.known = room.known;
    // The rest is for the fold of a batch and what DuckDB uses beside its own count.
    made.memory_limit = room.memory / 8 * 5;
    return std::make_unique<duckdb::DuckdbSink>(made);
  };
  setup.back_up = [spec](const pipeline::TargetToCheck& target, const std::filesystem::path& to) {
    const duckdb::BackupFacts facts = duckdb::back_up(owned_by(spec, target), std::filesystem::absolute(to));
    return fmt::format("{} to {}: {}", spec.path.string(), to.string(), describe(facts));
  };
  setup.restore = [spec](const pipeline::TargetToCheck& target, const std::filesystem::path& from, Lsn log_begins) {
    std::filesystem::path kept;
    const duckdb::BackupFacts facts =
        duckdb::restore(owned_by(spec, target), std::filesystem::absolute(from), log_begins, kept);
    return pipeline::Restored{*facts.cursor,
                              fmt::format("{} from {}: {}", spec.path.string(), from.string(), describe(facts)),
                              kept.string()};
  };
  setup.remove = [path = spec.path] {
    std::filesystem::remove(path);
    std::filesystem::remove(path.string() + ".wal");
    std::filesystem::remove_all(duckdb::safety_root(path));
  };
  return setup;
}

}  // namespace

pipeline::SinkSetup duckdb_file(const std::string& name, const std::string& path, bool history) {
  DuckdbSpec spec;
  spec.path = path;
  if (history) spec.history = {"*.*"};
  return duckdb_sink(name, spec);
}

pipeline::SinkKind duckdb_kind() {
  const Object<DuckdbDraft> object = duckdb_object();
  return {.name = "duckdb",
          .doc = object.doc(),
          .read = [object](const Node& node, const Reading& reading, const std::string& sink) {
            DuckdbDraft draft;
            object.read(draft, node, reading);
            DuckdbSpec spec;
            spec.path = draft.path;
            spec.history = draft.history;
            spec.history_intermediate = draft.intermediate;
            spec.history_safety = draft.safety;
            spec.threads = draft.threads;
            spec.on_unrepresentable = draft.on_unrepresentable;
            spec.dropped_columns = draft.dropped_columns;
            spec.release_when_idle = draft.release_when_idle;
            return duckdb_sink(sink, spec);
          }};
}

rules::ConditionMaker sql_conditions() {
  return [](const Relation& relation, const std::vector<rules::Pattern>& patterns,
            const std::vector<std::string>& sql) -> std::unique_ptr<rules::Conditions> {
    return std::make_unique<duckdb::RowConditions>(relation, patterns, sql);
  };
}

}  // namespace tailrace::cli
