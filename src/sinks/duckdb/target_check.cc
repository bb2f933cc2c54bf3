#include "sinks/duckdb/target_check.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "sinks/duckdb/state_format.h"
#include "sinks/duckdb/state_tables.h"

namespace tailrace::duckdb {
namespace {

void refuse_unwritable(const std::filesystem::path& path) {
  if (::access(path.c_str(), W_OK) == 0) return;
  throw RefusedError("TR606", fmt::format("{} cannot be written: {}", path.string(), std::strerror(errno)),
                     "see that the directory exists and is writable");
}

}  // namespace

std::string folded(std::string name) {
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

void refuse_unaddressable(const TableName& table, const std::string& catalog) {
  const std::string shown = table.first + "." + table.second;
  if (folded(table.first) == folded(catalog))
    throw BadConfigError("TR608",
                         fmt::format("DuckDB calls a file by its name, and \"{}\" is also the schema of {}: neither "
                                     "could be addressed",
                                     catalog, shown),
                         "name the target file otherwise");
  if (folded(table.first) == "tailrace")
    throw BadConfigError("TR608",
                         fmt::format("{} cannot be mirrored: the schema \"tailrace\" is Tailrace's own", shown),
                         "leave the table out");
}

void refuse_foreign_tables(Connection& connection, const DuckdbSpec& spec, const std::vector<TableName>& wanted,
                           const std::set<TableName>& ours) {
  std::set<std::string> theirs;
  for (const TextRow& row : connection.rows("SELECT schema_name, table_name FROM duckdb_tables() WHERE "
                                            "database_name = current_database() UNION ALL SELECT schema_name, "
                                            "view_name FROM duckdb_views() WHERE database_name = current_database() "
                                            "AND NOT internal"))
    theirs.insert(folded(row[0].second) + '\0' + folded(row[1].second));
  for (const TableName& table : wanted) {
    if (ours.contains(table)) continue;
    const bool history = keeps_history(spec, table.first, table.second);
    const std::string name = folded(table.first) + '\0' + folded(table.second);
    if (theirs.contains(name) || (history && theirs.contains(name + "__history")))
      throw RefusedError("TR602",
                         fmt::format("{} already has a table {}.{} that Tailrace did not make", spec.path.string(),
                                     table.first, table.second),
                         "name another target file, or move that table away");
  }
}

std::string check_target(const DuckdbSpec& spec, const std::vector<TableName>& tables) {
  const std::filesystem::path directory = spec.path.has_parent_path() ? spec.path.parent_path() : ".";
  std::error_code error;
  if (!std::filesystem::exists(spec.path, error)) {
    refuse_unwritable(directory);
    for (const TableName& table : tables) refuse_unaddressable(table, spec.path.stem().string());
    return fmt::format("{} will be made", spec.path.string());
  }
  Connection connection(Database::share_or_read(spec.path, {spec.memory_limit, 1, true}));
  refuse_unwritable(spec.path);
  refuse_unwritable(directory);
  const std::string catalog = connection.rows("SELECT current_database()").front().front().second;
  for (const TableName& table : tables) refuse_unaddressable(table, catalog);
  StateTables state(connection);
  const bool known = state_format(connection, spec).has_value();
  std::set<TableName> ours;
  if (known)
    for (const TextRow& row : connection.rows("SELECT schema_name, table_name FROM tailrace.tables"))
      ours.emplace(row[0].second, row[1].second);
  refuse_foreign_tables(connection, spec, tables, ours);
  if (!known) return fmt::format("{} is there, and nothing in it is in the way", spec.path.string());
  const auto cursor = state.read_cursor();
  return fmt::format("{} is this pipeline's target, {}", spec.path.string(),
                     cursor ? "up to " + cursor->position.commit_end.str() : "its copy not finished");
}

}  // namespace tailrace::duckdb
