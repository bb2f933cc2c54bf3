#include "sinks/duckdb/history_safety.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "sinks/duckdb/damage.h"
#include "sinks/duckdb/types.h"

namespace tailrace::duckdb {
namespace {

constexpr std::uint64_t kExportSeconds = 60;
// A new beginning, when what was added to the last one is as large, or so many pieces that reading them takes long.
constexpr std::size_t kMostExports = 500;
constexpr std::uint64_t kSmall = 64ULL << 20;
// Between exports that the log waits for: else each of a few rows would be one.
constexpr std::chrono::seconds kHurriedPause{2};
constexpr const char* kFormat = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES '16MB')";

std::uint64_t number(const std::string& text) { return text.empty() ? 0 : std::stoull(text); }

/// What Parquet does not keep exactly goes as DuckDB's text.
std::string kept_exactly(const std::string& name, const std::string& type) {
  const bool lossy =
      type.find("INTERVAL") != std::string::npos || type.find("TIME WITH TIME ZONE") != std::string::npos;
  if (!lossy) return identifier(name);
  return fmt::format("{0}::VARCHAR{1} AS {0}", identifier(name), type.ends_with("[]") ? "[]" : "");
}

/// The columns of a table with their types, as CREATE TABLE takes them, and as they go into Parquet.
struct Columns {
  std::string declared;
  std::string exact;
};

Columns declared_columns(Connection& connection, const std::string& schema, const std::string& table) {
  Columns columns;
  for (const TextRow& row : connection.rows(fmt::format("SELECT column_name, data_type FROM duckdb_columns() WHERE "
                                                        "database_name = current_database() AND schema_name "
                                                        "= {} AND table_name = {} ORDER BY column_index",
                                                        literal(schema), literal(table)))) {
    const char* comma = columns.declared.empty() ? "" : ", ";
    columns.declared += fmt::format("{}{} {}", comma, identifier(row[0].second), row[1].second);
    columns.exact += comma + kept_exactly(row[0].second, row[1].second);
  }
  return columns;
}

std::string history_of(const std::pair<std::string, std::string>& name) {
  return identifier(name.first) + "." + identifier(name.second + "__history");
}

}  // namespace

HistorySafety::HistorySafety(const DuckdbSpec& spec) : spec_(spec), root_(safety_root(spec.path)) {}

void HistorySafety::open(Connection& connection, const std::optional<Cursor>& cursor) {
  exports_.clear();
  known_.clear();
  last_try_.reset();
  failure_.clear();
  try {
    if (std::filesystem::exists(root_)) tidy_exports(root_);
    exports_ = read_exports(root_);
    if (exports_.empty()) return;
    const SafetyExport& last = exports_.back();
    if (last.pipeline != spec_.pipeline || last.source_id != spec_.source_id)
      return begin_anew("it belongs to another pipeline");
    if (!cursor) return begin_anew("the target is new");
    if (cursor->position < last.at) return begin_anew("the target is older");
    for (const TextRow& row : connection.rows(fmt::format(
             "SELECT schema_name, table_name, open::VARCHAR, closed::VARCHAR, columns FROM read_parquet({})",
             literal((root_ / last.name() / "tables.parquet").string()))))
      known_[{row[0].second, row[1].second}] = {number(row[2].second), number(row[3].second), row[4].second};
  } catch (const CorruptionError& damage) {
    begin_anew(damage.what());
  } catch (const RefusedError& unreadable) {
    begin_anew(unreadable.what());
  }
}

void HistorySafety::begin_anew(const char* why) {
  exports_.clear();
  known_.clear();
  const std::filesystem::path kept = move_aside(root_, "former");
  log::warn("duckdb.safety", "the histories' safety begins anew ({}); the former one is kept as {}", why,
            kept.string());
}

bool HistorySafety::due(const Cursor& cursor, SteadyClock::time_point now, bool hurried) const {
  if (!exports_.empty() && exports_.back().at == cursor.position) return false;
  const std::chrono::seconds timed(bound_or_tested("EXPORT_SECONDS", kExportSeconds));
  const auto pause = hurried ? std::min(timed, kHurriedPause) : timed;
  return !last_try_ || now - *last_try_ >= pause;
}

std::optional<Position> HistorySafety::safe_up_to() const {
  if (exports_.empty() || !failure_.empty()) return std::nullopt;
  return exports_.back().at;
}

void HistorySafety::write(Connection& connection, const Cursor& cursor, SteadyClock::time_point now) {
  last_try_ = now;
  std::uint64_t added = 0;
  for (std::size_t n = 1; n < exports_.size(); ++n) added += exports_[n].bytes();
  const bool whole = exports_.empty() || exports_.size() > kMostExports || added > exports_.front().bytes() + kSmall ||
                     exports_.back().at.epoch != cursor.position.epoch;
  SafetyExport made{.at = cursor.position,
                    .after = whole ? std::string() : exports_.back().name(),
                    .mark = whole ? 0 : exports_.back().mark,
                    .pipeline = spec_.pipeline,
                    .source_id = spec_.source_id,
                    .files = {}};
  const std::filesystem::path part = root_ / (made.name() + ".part");
  std::map<Name, Known> known = whole ? std::map<Name, Known>() : known_;
  connection.run("BEGIN");
  try {
    std::error_code error;
    std::filesystem::remove_all(part, error);
    std::filesystem::create_directories(part, error);
    if (error)
      throw RetryError("TR628",
                       fmt::format("the histories' safety: cannot make {}: {}", part.string(), error.message()),
                       "make room on the disk of the target, and see that its directory is writable");
    write_part(connection, part, made, known);
    connection.run("COMMIT");
    TAILRACE_CRASH_POINT("duckdb.before_export");
    seal_export(root_, part, made);
    TAILRACE_CRASH_POINT("duckdb.after_export");
  } catch (const Error& failed) {
    connection.roll_back();
    failure_ = failed.what();
    throw;
  }
  failure_.clear();
  known_ = std::move(known);
  if (whole) exports_.clear();
  exports_.push_back(std::move(made));
  if (whole) tidy_exports(root_);
}

void HistorySafety::write_part(Connection& connection, const std::filesystem::path& part, SafetyExport& made,
                               std::map<Name, Known>& known) {
  for (const TextRow& row : connection.rows("SELECT table_name FROM duckdb_tables() WHERE database_name = "
                                            "current_database() AND schema_name = 'tailrace'"))
    connection.run(fmt::format("COPY (FROM tailrace.{}) TO {} {}", identifier(row[0].second),
                               literal((part / ("state." + row[0].second + ".parquet")).string()), kFormat));
  connection.run(
      "CREATE OR REPLACE TEMP TABLE tailrace_safety(n UBIGINT, schema_name VARCHAR, table_name VARCHAR, "
      "kept BOOLEAN, base BOOLEAN, written BOOLEAN, open UBIGINT, closed UBIGINT, columns VARCHAR, mirror VARCHAR)");
  const std::uint64_t before = made.mark;
  std::uint64_t n = 0;
  for (const TextRow& row : connection.rows(
           "SELECT t.schema_name, t.table_name FROM tailrace.tables t JOIN duckdb_tables() h ON h.database_name = "
           "current_database() AND h.schema_name = t.schema_name AND h.table_name = t.table_name || '__history'")) {
    const Name name(row[0].second, row[1].second);
    const bool whole = made.after.empty() || !known.contains(name);
    Known& table = known[name];
    bool base = whole;
    const bool written =
        write_table(connection, part / fmt::format("t{}.parquet", ++n), name, whole, before, table, base);
    const auto mark = connection.rows(
        fmt::format("SELECT max(greatest(from_seq, coalesce(to_seq, 0)))::VARCHAR FROM {}", history_of(name)));
    made.mark = std::max(made.mark, number(mark.front().front().second));
    connection.run(fmt::format("INSERT INTO temp.tailrace_safety VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {})", n,
                               literal(name.first), literal(name.second), keeps_history(spec_, name.first, name.second),
                               base, written, table.open, table.closed, literal(table.columns),
                               literal(declared_columns(connection, name.first, name.second).declared)));
  }
  connection.run(
      fmt::format("COPY (FROM temp.tailrace_safety) TO {} {}", literal((part / "tables.parquet").string()), kFormat));
  connection.run("DROP TABLE temp.tailrace_safety");
}

bool HistorySafety::write_table(Connection& connection, const std::filesystem::path& file, const Name& name, bool whole,
                                std::uint64_t mark, Known& known, bool& is_base) {
  const std::string history = history_of(name);
  const Columns columns = declared_columns(connection, name.first, name.second + "__history");
  const std::string opened = fmt::format("is_current AND from_seq > {}::UBIGINT", mark);
  const std::string ended = fmt::format("NOT is_current AND to_seq > {}::UBIGINT", mark);
  const TextRow counts =
      connection
          .rows(fmt::format("SELECT count(*) FILTER (is_current)::VARCHAR, count(*) FILTER (NOT is_current)::VARCHAR, "
                            "count(*) FILTER ({0})::VARCHAR, count(*) FILTER ({1})::VARCHAR, count(*) FILTER ({1} "
                            "AND from_seq <= {2}::UBIGINT)::VARCHAR FROM {3}",
                            opened, ended, mark, history))
          .front();
  const Known now{number(counts[0].second), number(counts[1].second), columns.declared};
  const std::uint64_t opened_rows = number(counts[2].second);
  const std::uint64_t ended_rows = number(counts[3].second);
  const std::uint64_t ended_known = number(counts[4].second);
  // What changed otherwise (rows completed later, an altered table) shows in the sums: then all of it is written again.
  is_base = whole || columns.declared != known.columns || now.closed != known.closed + ended_rows ||
            now.open + ended_known != known.open + opened_rows;
  known = now;
  if (!is_base && opened_rows + ended_rows == 0) return false;
  connection.run(fmt::format("COPY (SELECT {}, {}::UBIGINT AS tailrace_after FROM {} WHERE {}) TO {} {}", columns.exact,
                             is_base ? "NULL" : std::to_string(mark), history,
                             is_base ? std::string("true") : fmt::format("({}) OR ({})", opened, ended),
                             literal(file.string()), kFormat));
  return true;
}

}  // namespace tailrace::duckdb
