#include "sinks/clickhouse/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace tailrace::clickhouse {
namespace {

using sinks::RowStyle;

std::string plain(std::string_view text) { return std::string(text); }

bool is_key(const Relation& relation, std::size_t column) {
  const std::vector<std::size_t> key = relation.match_key();
  return std::ranges::find(key, column) != key.end();
}

std::string misfit_of_key(const Relation& relation, const TableFacts& facts) {
  if (!facts.engine.ends_with("ReplacingMergeTree"))
    return fmt::format("its engine there is {}, and rows need ReplacingMergeTree(_version, _deleted)", facts.engine);
  if (facts.engine_full.find("_version, _deleted)") == std::string::npos)
    return "its engine there has not `_version, _deleted` as its last arguments";
  if (facts.sorting_key.find_first_of("()") != std::string::npos && !facts.sorting_key.starts_with('('))
    return fmt::format("it is ordered by an expression there ({})", facts.sorting_key);
  for (const TableFacts::Column& column : facts.columns) {
    const auto at = std::ranges::find(relation.columns, column.name, &Column::name);
    const bool in_key =
        at != relation.columns.end() && is_key(relation, static_cast<std::size_t>(at - relation.columns.begin()));
    if (column.in_sorting_key != in_key)
      return fmt::format("column {} is {} the order there, and {} the key at the source", column.name,
                         column.in_sorting_key ? "in" : "not in", in_key ? "in" : "not in");
    if (column.in_partition_key && !in_key)
      return fmt::format("it is partitioned by {} there, which is not part of the key", column.name);
  }
  return {};
}

}  // namespace

const std::vector<MetaColumn>& meta_columns(RowStyle style) {
  static const std::vector<MetaColumn> rows = {{Meta::kVersion, "_version", "UInt64"},
                                               {Meta::kDeleted, "_deleted", "UInt8"}};
  static const std::vector<MetaColumn> events = {{Meta::kOperation, "_op", "LowCardinality(String)"},
                                                 {Meta::kVersion, "_version", "UInt64"},
                                                 {Meta::kCommitTime, "_commit_time", "DateTime64(6, 'UTC')"},
                                                 {Meta::kOld, "_old", "String"},
                                                 {Meta::kUnchanged, "_unchanged", "String"}};
  return style == RowStyle::kState ? rows : events;
}

const TableFacts::Column* TableFacts::column(std::string_view name) const {
  const auto found = std::ranges::find(columns, name, &Column::name);
  return found == columns.end() ? nullptr : &*found;
}

std::string column_type(const Relation& relation, std::size_t column, RowStyle style) {
  const bool may_be_null =
      !is_key(relation, column) && (style == RowStyle::kEvents || !relation.columns[column].not_null);
  return made_type(relation.columns[column].type, may_be_null);
}

std::string misfit(const Relation& relation, const TableFacts& facts, RowStyle style) {
  for (const Column& column : relation.columns) {
    const TableFacts::Column* there = facts.column(column.name);
    if (there == nullptr || there->computed)
      return fmt::format("its column {} ({}) is not among the columns there", column.name, column.type.display);
    const auto type = parse_type(there->type);
    if (!type || !fits(column.type, *type))
      return fmt::format("its column {} is {} at the source and {} there", column.name, column.type.display,
                         there->type);
  }
  for (const MetaColumn& meta : meta_columns(style)) {
    const TableFacts::Column* there = facts.column(meta.name);
    // Tables of events may do without what tells more of a change.
    if (there == nullptr && style == RowStyle::kEvents && meta.meta != Meta::kVersion) continue;
    if (there == nullptr) return fmt::format("it has no column {} {} there", meta.name, meta.type);
    if (parse_type(there->type) != parse_type(meta.type))
      return fmt::format("its column {} is {} there, and not {}", meta.name, there->type, meta.type);
  }
  return style == RowStyle::kState ? misfit_of_key(relation, facts) : std::string();
}

std::string create_sql(const Relation& relation, RowStyle style, const std::string& name, const std::string& comment) {
  std::string sql = fmt::format("CREATE TABLE {} (", name);
  for (std::size_t n = 0; n < relation.columns.size(); ++n)
    sql += fmt::format("{} {}, ", identifier(relation.columns[n].name), column_type(relation, n, style));
  for (const MetaColumn& meta : meta_columns(style)) sql += fmt::format("{} {}, ", identifier(meta.name), meta.type);
  sql.resize(sql.size() - 2);
  // What is acknowledged is on the server's disk.
  constexpr const char* kDurable = "fsync_after_insert = 1, fsync_part_directory = 1";
  if (style == RowStyle::kEvents)
    return sql + fmt::format(
                     ") ENGINE = MergeTree ORDER BY _version SETTINGS {}, non_replicated_deduplication_window = 1000 "
                     "COMMENT {}",
                     kDurable, literal(comment));
  std::string key;
  for (const std::size_t column : relation.match_key())
    key += (key.empty() ? "" : ", ") + identifier(relation.columns[column].name);
  return sql + fmt::format(") ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY ({}) SETTINGS {} COMMENT {}",
                           key, kDurable, literal(comment));
}

Tables::Tables(const ClickhouseSpec& spec) : spec_(spec), connection_(spec.address) {}

std::string Tables::name_of(const Relation& relation) const { return spec_.table.bind(relation).pattern("", plain); }

std::string Tables::sql_name(const std::string& table) const {
  return identifier(spec_.address.database) + "." + identifier(table);
}

std::optional<TableFacts> Tables::look(const std::string& table) {
  const std::lock_guard lock(connection_mutex_);
  const std::string database = literal(spec_.address.database);
  const auto rows = connection_.select(
      fmt::format(
          "SELECT engine, engine_full, sorting_key, comment FROM system.tables WHERE database = {} AND name = {}",
          database, literal(table)),
      4);
  if (rows.empty()) return std::nullopt;
  TableFacts facts;
  facts.engine = rows[0][0];
  facts.engine_full = rows[0][1];
  facts.sorting_key = rows[0][2];
  facts.comment = rows[0][3];
  for (std::vector<std::string>& row : connection_.select(
           fmt::format(
               "SELECT name, type, toString(is_in_sorting_key), toString(is_in_partition_key), default_kind FROM "
               "system.columns WHERE database = {} AND table = {} ORDER BY position",
               database, literal(table)),
           5))
    facts.columns.push_back({.name = std::move(row[0]),
                             .type = std::move(row[1]),
                             .in_sorting_key = row[2] == "1",
                             .in_partition_key = row[3] == "1",
                             .computed = row[4] == "MATERIALIZED" || row[4] == "ALIAS"});
  return facts;
}

std::string Tables::mark(Belonging belonging, const Relation& relation) const {
  return fmt::format("{}{} {} of pipeline {}", kMarkOfTables,
                     belonging == Belonging::kMade ? "made for" : "filled from", relation.display_name(),
                     spec_.pipeline);
}

Belonging Tables::belonging(const TableFacts& facts, const Relation& relation) const {
  if (facts.comment == mark(Belonging::kMade, relation)) return Belonging::kMade;
  if (facts.comment.ends_with(mark(Belonging::kFilled, relation))) return Belonging::kFilled;
  return facts.comment.find(kMarkOfTables) == std::string::npos ? Belonging::kNobody : Belonging::kOthers;
}

std::shared_ptr<const TableShape> Tables::shape(const Relation& relation) {
  {
    const std::shared_lock lock(mutex_);
    const auto found = shapes_.find(&relation);
    if (found != shapes_.end() && found->second->oid() == relation.oid) return found->second;
  }
  std::shared_ptr<const TableShape> made = make_shape(relation);
  const std::unique_lock lock(mutex_);
  shapes_[&relation] = made;
  return made;
}

std::shared_ptr<const TableShape> Tables::make_shape(const Relation& relation) {
  const std::string table = name_of(relation);
  std::optional<TableFacts> facts = look(table);
  const Belonging whose = facts ? belonging(*facts, relation) : Belonging::kNobody;
  if (whose != Belonging::kMade && whose != Belonging::kFilled)
    throw RefusedError(
        "TR844", fmt::format("table {} of {} is gone, or not this sink's any more", table, spec_.address.display()),
        "bring it back as it was, or copy the table again: tailrace snapshot");
  const bool made = whose == Belonging::kMade;
  // Whether a column may be NULL is no part of the stream: a table may lose the constraint without a word.
  for (std::size_t n = 0; made && n < relation.columns.size(); ++n) {
    const TableFacts::Column* there = facts->column(relation.columns[n].name);
    const auto type = there == nullptr ? std::nullopt : parse_type(there->type);
    if (!type || type->nullable || type->array || !column_type(relation, n, spec_.style).starts_with("Nullable"))
      continue;
    const std::lock_guard lock(connection_mutex_);
    connection_.run(fmt::format("ALTER TABLE {} MODIFY COLUMN {} Nullable({}) SETTINGS alter_sync = 2", sql_name(table),
                                identifier(there->name), there->type));
    facts->columns[static_cast<std::size_t>(there - facts->columns.data())].type = "Nullable(" + there->type + ")";
  }
  return std::make_shared<TableShape>(relation, *facts, spec_.style, sql_name(table), made);
}

void Tables::let_be_null(const TableShape& shape, const Relation& relation, std::size_t column) {
  {
    const std::lock_guard lock(connection_mutex_);
    const std::string& type = shape.type_of(column);
    const bool is_dictionary = type.starts_with("LowCardinality(");
    const std::string inner = is_dictionary ? type.substr(15, type.size() - 16) : type;
    connection_.run(fmt::format(
        "ALTER TABLE {} MODIFY COLUMN {} {} SETTINGS alter_sync = 2", shape.table(),
        identifier(relation.columns[column].name),
        is_dictionary ? fmt::format("LowCardinality(Nullable({}))", inner) : fmt::format("Nullable({})", inner)));
  }
  const std::unique_lock lock(mutex_);
  shapes_.erase(&relation);
}

void Tables::forget() {
  const std::unique_lock lock(mutex_);
  shapes_.clear();
}

}  // namespace tailrace::clickhouse
