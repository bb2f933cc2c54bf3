#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "sinks/duckdb/alteration.h"
#include "sinks/duckdb/history_safety.h"
#include "sinks/duckdb/state_tables.h"
#include "sinks/duckdb/table_writer.h"
#include "sinks/duckdb/types.h"

namespace tailrace::duckdb {
namespace {

using Name = std::pair<std::string, std::string>;

[[noreturn]] void unusable(const std::filesystem::path& root, const std::string& why) {
  throw CorruptionError("TR627", fmt::format("the histories cannot be made again from {}: {}", root.string(), why),
                        "keep the damaged file while there is a history to be read in it");
}

/// A history table as the last export has it.
struct Exported {
  Name name;
  bool kept = false;
  std::string open;
  std::string closed;
  /// Of the history, and of the table itself.
  std::string columns;
  std::string mirror;
  /// Paths of its pieces, as DuckDB takes them, the newest first.
  std::string pieces;
  bool complete = false;
};

std::vector<Exported> exported_tables(Connection& connection, const std::filesystem::path& root,
                                      const std::vector<SafetyExport>& exports) {
  std::vector<Exported> tables;
  for (auto made = exports.rbegin(); made != exports.rend(); ++made) {
    const std::filesystem::path directory = root / made->name();
    for (const TextRow& row : connection.rows(fmt::format(
             "SELECT schema_name, table_name, kept::VARCHAR, base::VARCHAR, written::VARCHAR, open::VARCHAR, "
             "closed::VARCHAR, columns, mirror, n::VARCHAR FROM read_parquet({})",
             literal((directory / "tables.parquet").string())))) {
      const Name name(row[0].second, row[1].second);
      auto table = std::ranges::find(tables, name, &Exported::name);
      if (table == tables.end()) {
        if (made != exports.rbegin()) continue;  // it was dropped since
        tables.push_back(
            {name, row[2].second == "true", row[5].second, row[6].second, row[7].second, row[8].second, "", false});
        table = std::prev(tables.end());
      }
      if (table->complete || row[4].second != "true") continue;
      table->pieces += fmt::format("{}{}", table->pieces.empty() ? "" : ", ",
                                   literal((directory / ("t" + row[9].second + ".parquet")).string()));
      table->complete = row[3].second == "true";
    }
  }
  return tables;
}

std::vector<std::string> columns_of(Connection& connection, const std::string& schema, const std::string& table) {
  std::vector<std::string> columns;
  for (const TextRow& row : connection.rows(fmt::format(
           "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() AND schema_name = {} AND "
           "table_name = {} ORDER BY column_index",
           literal(schema), literal(table))))
    columns.push_back(row.front().second);
  return columns;
}

std::string list_of(const std::vector<std::string>& columns) {
  std::string list;
  for (const std::string& column : columns) list += (list.empty() ? "" : ", ") + identifier(column);
  return list;
}

/// The versions that had ended, and of those that were open somewhen all that did not end later.
void fill_history(Connection& connection, const Exported& table) {
  const std::string history = identifier(table.name.first) + "." + identifier(table.name.second + "__history");
  const std::vector<std::string> columns = columns_of(connection, table.name.first, table.name.second + "__history");
  // Begin and end of a version may be set back when it ends; its number and its values stay.
  std::vector<std::string> lasting;
  std::string same;
  for (const std::string& column : columns) {
    if (std::ranges::find(kHistoryColumnNames, column) != kHistoryColumnNames.end() && column != "from_seq") continue;
    lasting.push_back(column);
    same += fmt::format(" AND c.{0} IS NOT DISTINCT FROM e.{0}", identifier(column));
  }
  const std::string names = list_of(columns);
  const std::string from = fmt::format("read_parquet([{}])", table.pieces);
  connection.run(fmt::format("INSERT INTO {} SELECT {} FROM {} WHERE NOT is_current", history, names, from));
  const std::string numbered = fmt::format(
      "SELECT *, row_number() OVER (PARTITION BY {}) AS tailrace_place FROM {} WHERE", list_of(lasting), from);
  connection.run(
      fmt::format("INSERT INTO {} SELECT {} FROM ({} is_current) AS c ANTI JOIN ({} NOT is_current AND from_seq <= "
                  "tailrace_after) AS e ON (c.tailrace_place = e.tailrace_place{})",
                  history, names, numbered, numbered, same));
}

void restore_table(Connection& connection, const std::filesystem::path& root, const Exported& table) {
  const std::string schema = identifier(table.name.first);
  const std::string history = schema + "." + identifier(table.name.second + "__history");
  if (!table.complete) unusable(root, "pieces are missing");
  connection.run("CREATE SCHEMA IF NOT EXISTS " + schema);
  connection.run(fmt::format("CREATE TABLE {}({})", history, table.columns));
  fill_history(connection, table);
  const TextRow counts = connection
                             .rows(fmt::format("SELECT count(*) FILTER (is_current)::VARCHAR, count(*) FILTER (NOT "
                                               "is_current)::VARCHAR FROM {}",
                                               history))
                             .front();
  if (counts[0].second != table.open || counts[1].second != table.closed)
    unusable(root, fmt::format("{}.{} has {} open and {} ended versions instead of {} and {}", table.name.first,
                               table.name.second, counts[0].second, counts[1].second, table.open, table.closed));
  if (!table.kept) return;
  const std::string mirror = schema + "." + identifier(table.name.second);
  connection.run(fmt::format("CREATE TABLE {}({})", mirror, table.mirror));
  connection.run(fmt::format("INSERT INTO {} SELECT {} FROM {} WHERE is_current", mirror,
                             list_of(columns_of(connection, table.name.first, table.name.second)), history));
}

void restore_state(Connection& connection, const std::filesystem::path& root, const SafetyExport& last,
                   const std::vector<Exported>& tables) {
  constexpr std::string_view kState = "state.";
  constexpr std::string_view kParquet = ".parquet";
  connection.run("CREATE SCHEMA tailrace");
  for (const SafetyFile& file : last.files) {
    if (!file.name.starts_with(kState)) continue;
    const std::string name = file.name.substr(kState.size(), file.name.size() - kState.size() - kParquet.size());
    connection.run(fmt::format("CREATE TABLE tailrace.{} AS FROM read_parquet({})", identifier(name),
                               literal((root / last.name() / file.name).string())));
  }
  std::string kept = "(NULL, NULL)";
  for (const Exported& table : tables)
    if (table.kept) kept += fmt::format(", ({}, {})", literal(table.name.first), literal(table.name.second));
  const std::string others =
      fmt::format("NOT EXISTS (FROM (VALUES {}) AS k(s, t) WHERE k.s = schema_name AND k.t = table_name)", kept);
  for (const char* of_keys : {"lanes", "letters", "incomplete"})
    connection.run(fmt::format("DELETE FROM tailrace.{} WHERE {}", of_keys, others));
  connection.run(fmt::format("UPDATE tailrace.tables SET state = 'lost' WHERE {}", others));
}

Position fill(Connection& connection, const DuckdbSpec& spec, const std::filesystem::path& root,
              const std::vector<SafetyExport>& exports) {
  connection.run("SET TimeZone = 'UTC'");
  const std::vector<Exported> tables = exported_tables(connection, root, exports);
  connection.run("BEGIN");
  restore_state(connection, root, exports.back(), tables);
  for (const Exported& table : tables) restore_table(connection, root, table);
  StateTables state(connection);
  for (const auto& table : state.read_tables(spec))
    if (std::ranges::any_of(tables, [&](const Exported& other) {
          return other.name == Name(table->shape.relation->schema, table->shape.relation->name);
        }))
      make_as_of(connection, *table);
  connection.run("COMMIT");
  connection.run("CHECKPOINT");
  const std::optional<Cursor> cursor = state.read_cursor();
  if (!cursor || cursor->position != exports.back().at) unusable(root, "its cursor is not the one it is named by");
  return cursor->position;
}

std::filesystem::path restored(const std::filesystem::path& path) { return path.string() + ".restored"; }

}  // namespace

Position make_restored(const DuckdbSpec& spec) {
  const std::filesystem::path root = safety_root(spec.path);
  const std::vector<SafetyExport> exports = read_exports(root);
  if (exports.empty()) unusable(root, "there is no export");
  if (exports.back().pipeline != spec.pipeline || exports.back().source_id != spec.source_id)
    unusable(root, "it belongs to another pipeline or source");
  verify_exports(root, exports);
  const std::filesystem::path part = spec.path.string() + ".restoring";
  std::filesystem::remove(part);
  std::filesystem::remove(part.string() + ".wal");
  Position at;
  {
    Connection connection(Database::open(part, {spec.memory_limit, spec.threads, false}));
    at = fill(connection, spec, root, exports);
  }
  std::filesystem::rename(part, restored(spec.path));
  return at;
}

void take_restored(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path) && std::filesystem::exists(restored(path)))
    std::filesystem::rename(restored(path), path);
}

}  // namespace tailrace::duckdb
