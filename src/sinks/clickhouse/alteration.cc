#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "sinks/clickhouse/clickhouse_target.h"

// How a table of ours follows its source. Statements may come twice.
namespace tailrace::clickhouse {
namespace {

using sinks::RowStyle;

/// What a constant of the source is in SQL, of this type; nothing where the server may read it otherwise.
std::optional<std::string> constant(const ColumnType& type, const std::string& text, const std::string& sql_type) {
  switch (origin_of(type)) {
    case Origin::kBool:
    case Origin::kInt16:
    case Origin::kInt32:
    case Origin::kInt64:
    case Origin::kOid:
    case Origin::kNumeric:
    case Origin::kText:
    case Origin::kUuid: break;
    case Origin::kFloat:
    case Origin::kDouble:
    case Origin::kBytea:
    case Origin::kDate:
    case Origin::kTimestamp:
    case Origin::kArray: return std::nullopt;
  }
  const auto target = parse_type(sql_type);
  std::string ignored;
  if (!target || Cell(type, *target, false).append(text, ignored) != nullptr) return std::nullopt;
  return fmt::format("CAST({}, {})", literal(text), literal(sql_type));
}

/// Whether a name stood for another column before: then statements could not come twice.
bool reuses_a_name(const Relation& before, const Relation& after, const SchemaChange& change) {
  const auto was = [&before](const std::string& name, std::optional<std::size_t> same) {
    const auto at = std::ranges::find(before.columns, name, &Column::name);
    return at != before.columns.end() && (!same || static_cast<std::size_t>(at - before.columns.begin()) != *same);
  };
  return std::ranges::any_of(change.added,
                             [&](const auto& added) { return was(after.columns[added.after].name, std::nullopt); }) ||
         std::ranges::any_of(change.kept,
                             [&](const auto& kept) { return was(after.columns[kept.after].name, kept.before); });
}

std::string add_column(const std::string& name, const Column& column, const std::string& type,
                       const std::optional<std::string>& value) {
  return fmt::format("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}{}", name, identifier(column.name), type,
                     value ? " DEFAULT " + *value : std::string());
}

}  // namespace

Alteration alteration(const Relation& before, const Relation& after, const SchemaChange& change,
                      const std::string& name) {
  Alteration made;
  const auto give_up = [](std::string why) { return Alteration{.statements = {}, .obstacle = std::move(why)}; };
  if (change.table_renamed) return give_up("it has another name");
  if (change.key_changed) return give_up("its key is another");
  if (reuses_a_name(before, after, change)) return give_up("a name stands for another column now");
  const std::vector<std::size_t> key = before.match_key();
  for (const auto& [from, to] : change.kept) {
    const Column& was = before.columns[from];
    const Column& is = after.columns[to];
    // May NULL be in it, the table learns of that with the first row.
    if (made_type(was.type, true) != made_type(is.type, true) || origin_of(was.type) == Origin::kArray)
      if (!(was.type == is.type)) return give_up("a column of it has another type");
    if (was.name == is.name) continue;
    if (std::ranges::find(key, from) != key.end()) return give_up("a column of its key has another name");
    made.statements.push_back(fmt::format("ALTER TABLE {} RENAME COLUMN IF EXISTS {} TO {}", name, identifier(was.name),
                                          identifier(is.name)));
  }
  for (const std::size_t column : change.dropped)
    made.statements.push_back(
        fmt::format("ALTER TABLE {} DROP COLUMN IF EXISTS {}", name, identifier(before.columns[column].name)));
  for (const auto& [column, missing] : change.added) {
    const std::string type = column_type(after, column, RowStyle::kState);
    std::optional<std::string> value;
    if (missing) {
      value = constant(after.columns[column].type, *missing, type);
      if (!value) return give_up("a column was added with a value in every row");
    }
    made.statements.push_back(add_column(name, after.columns[column], type, value));
  }
  return made;
}

std::vector<std::string> event_alteration(const Relation& after, const TableFacts& facts, const std::string& name) {
  std::vector<std::string> statements;
  for (std::size_t n = 0; n < after.columns.size(); ++n) {
    const Column& column = after.columns[n];
    const std::string type = column_type(after, n, RowStyle::kEvents);
    const TableFacts::Column* there = facts.column(column.name);
    if (there == nullptr) {
      statements.push_back(add_column(name, column, type, std::nullopt));
      continue;
    }
    // Earlier events keep what they say, as far as the new type can say it.
    if (there->type != type)
      statements.push_back(fmt::format("ALTER TABLE {} MODIFY COLUMN {} {} SETTINGS mutations_sync = 2", name,
                                       identifier(column.name), type));
  }
  return statements;
}

}  // namespace tailrace::clickhouse
