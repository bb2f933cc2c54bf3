#include "sinks/duckdb/alteration.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "sinks/duckdb/target_check.h"

namespace tailrace::duckdb {
namespace {

std::string as_of_name(const Relation& relation) {
  return identifier(relation.schema) + "." + identifier(relation.name + "__as_of");
}

void rename_table(Connection& connection, const Relation& from, const Relation& to, const std::string& suffix) {
  const std::string old_name = identifier(from.schema) + "." + identifier(from.name + suffix);
  const std::string new_name = identifier(to.schema) + "." + identifier(to.name + suffix);
  if (from.schema == to.schema) {
    connection.run(fmt::format("ALTER TABLE {} RENAME TO {}", old_name, identifier(to.name + suffix)));
    return;
  }
  // DuckDB moves no table to another schema.
  connection.run("CREATE SCHEMA IF NOT EXISTS " + identifier(to.schema));
  connection.run(fmt::format("CREATE TABLE {} AS FROM {}", new_name, old_name));
  connection.run("DROP TABLE " + old_name);
}

}  // namespace

void make_as_of(Connection& connection, const Table& table) {
  connection.run(fmt::format(
      "CREATE OR REPLACE MACRO {}(t) AS TABLE SELECT {} FROM {} WHERE effective_from <= t AND (effective_to IS NULL OR "
      "effective_to > t)",
      as_of_name(*table.shape.relation), listed_columns(*table.shape.relation), table.history_name()));
}

void rename_target_tables(Connection& connection, const Table& table, const Relation& next) {
  const Relation& now = *table.shape.relation;
  rename_table(connection, now, next, "");
  if (!table.shape.history) return;
  rename_table(connection, now, next, "__history");
  connection.run("DROP MACRO TABLE IF EXISTS " + as_of_name(now));
}

void Alteration::apply(const SchemaChange& change, TableShape next) {
  table_.close_appenders();
  if (change.table_renamed) rename_target_tables(connection_, table_, *next.relation);
  std::vector<Target> targets;
  const std::string& schema = next.relation->schema;
  const std::string& name = next.relation->name;
  targets.push_back({schema, name, false});
  if (table_.shape.history) targets.push_back({schema, name + "__history", true});
  for (const Target& target : targets) {
    drop_columns(target, change);
    rename_columns(target, change, *next.relation);
    change_types(target, change, next);
    add_columns(target, change, next);
  }
  table_.shape = std::move(next);
  if (table_.shape.history) make_as_of(connection_, table_);
  for (const Target& target : targets) {
    (target.history ? table_.history_in_order : table_.mirror_in_order) =
        columns_of(target) == table_.column_names(target.history);
  }
}

void Alteration::alter(const Target& target, const std::string& what) {
  connection_.run(fmt::format("ALTER TABLE {} {}", target.name(), what));
}

std::vector<std::string> Alteration::columns_of(const Target& target) {
  std::vector<std::string> names;
  for (const TextRow& row : connection_.rows(fmt::format("SELECT column_name FROM (DESCRIBE {})", target.name())))
    names.push_back(row.front().second);
  return names;
}

void Alteration::drop_columns(const Target& target, const SchemaChange& change) {
  // A history is about the past: what it had, it keeps.
  if (target.history || dropped_columns_ != DroppedColumns::kDrop) return;
  for (const std::size_t column : change.dropped)
    alter(target, "DROP COLUMN " + identifier(table_.shape.relation->columns[column].name));
}

void Alteration::free_name(const Target& target, const std::string& column) {
  for (const std::string& there : columns_of(target)) {
    if (folded(there) != folded(column)) continue;
    alter(target, fmt::format("RENAME COLUMN {} TO {}", identifier(there),
                              identifier(fmt::format("{}__until_{:X}", there, at_.commit_end.value()))));
  }
}

void Alteration::rename_columns(const Target& target, const SchemaChange& change, const Relation& next) {
  const auto& columns = table_.shape.relation->columns;
  const auto passing = [](std::size_t n) { return fmt::format("tailrace_renamed_{}", n); };
  std::vector<SchemaChange::Kept> renamed;
  for (const auto& kept : change.kept)
    if (columns[kept.before].name != next.columns[kept.after].name) renamed.push_back(kept);
  // Names may change hands: nobody keeps his while others take theirs.
  for (const auto& [before, after] : renamed)
    alter(target, fmt::format("RENAME COLUMN {} TO {}", identifier(columns[before].name), identifier(passing(before))));
  for (const auto& [before, after] : renamed) {
    free_name(target, next.columns[after].name);
    alter(target,
          fmt::format("RENAME COLUMN {} TO {}", identifier(passing(before)), identifier(next.columns[after].name)));
  }
}

void Alteration::change_types(const Target& target, const SchemaChange& change, const TableShape& next) {
  for (const auto& [before, after] : change.kept) {
    if (table_.shape.types[before] == next.types[after]) continue;
    alter(target, fmt::format("ALTER COLUMN {} SET DATA TYPE {}", identifier(next.relation->columns[after].name),
                              next.types[after].sql()));
  }
}

void Alteration::add_columns(const Target& target, const SchemaChange& change, const TableShape& next) {
  for (const auto& added : change.added) {
    const std::string& name = next.relation->columns[added.after].name;
    const TargetType& type = next.types[added.after];
    free_name(target, name);
    const std::string column = identifier(name);
    if (!added.missing) {
      alter(target, fmt::format("ADD COLUMN {} {}", column, type.sql()));
      continue;
    }
    alter(target, fmt::format("ADD COLUMN {} {} DEFAULT {}", column, type.sql(), literal_of(type, *added.missing)));
    alter(target, fmt::format("ALTER COLUMN {} DROP DEFAULT", column));
  }
}

std::string Alteration::literal_of(const TargetType& type, const std::string& text) {
  connection_.run(fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_value(v {})", type.sql()));
  {
    RowAppender rows(connection_, "temp", "tailrace_value", {type});
    if (!rows.put(0, {FieldKind::kText, text}))
      throw SuspectTable{&table_, at_, "DuckDB's type cannot hold the default of an added column"};
    rows.end_row();
    rows.flush();
  }
  const auto shown = connection_.rows("SELECT v::VARCHAR FROM temp.tailrace_value").front().front().second;
  const std::string value = literal(shown);
  const auto same = connection_.rows(
      fmt::format("SELECT (v IS NOT DISTINCT FROM {}::{})::VARCHAR FROM temp.tailrace_value", value, type.sql()));
  connection_.run("DROP TABLE temp.tailrace_value");
  if (same.front().front().second != "true")
    throw SuspectTable{&table_, at_, "DuckDB does not read back the default of an added column"};
  return value;
}

}  // namespace tailrace::duckdb
