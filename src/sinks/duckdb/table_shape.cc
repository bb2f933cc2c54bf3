#include "sinks/duckdb/table_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tailrace::duckdb {

TableShape::TableShape(RelationPtr from, OnUnrepresentable on_unrepresentable, const rules::RowRules* rules)
    : relation(std::move(from)), key(relation->match_key()), whole_rows(relation->identity == ReplicaIdentity::kFull) {
  std::ranges::sort(key);
  for (const Column& column : relation->columns) types.push_back(target_type(column.type, on_unrepresentable));
  if (rules != nullptr) check = rules->check_for(*relation);
}

std::vector<TargetType> TableShape::key_types() const {
  std::vector<TargetType> out;
  for (const std::size_t column : key) out.push_back(types[column]);
  return out;
}

void TableShape::go_by_whole_rows() {
  if (relation->identity == ReplicaIdentity::kFull) key.clear();
}

std::string listed_columns(const Relation& relation) {
  std::string out;
  for (const Column& column : relation.columns) out += (out.empty() ? "" : ", ") + identifier(column.name);
  return out;
}

std::string listed_columns(const Relation& relation, const std::vector<std::size_t>& columns) {
  std::string out;
  for (const std::size_t column : columns) out += (out.empty() ? "" : ", ") + identifier(relation.columns[column].name);
  return out;
}

std::string declared(char prefix, const std::vector<TargetType>& types) {
  std::string out;
  for (std::size_t n = 0; n < types.size(); ++n)
    out += fmt::format("{}{}{} {}", n == 0 ? "" : ", ", prefix, n, types[n].sql());
  return out;
}

std::string equal_columns(const Relation& relation, const std::vector<std::size_t>& columns, const char* row,
                          const char* staged, char prefix) {
  std::string out;
  for (std::size_t n = 0; n < columns.size(); ++n)
    out += fmt::format("{}{}.{} = {}.{}{}", n == 0 ? "" : " AND ", row, identifier(relation.columns[columns[n]].name),
                       staged, prefix, n);
  return out;
}

std::string staged_columns(const TableShape& shape) {
  std::string out;
  for (std::size_t n = 0; n < shape.width(); ++n) out += fmt::format("{}c{}", n == 0 ? "" : ", ", n);
  return out;
}

std::string row_condition(const TableShape& shape, const char* row, const char* staged) {
  std::string out;
  for (std::size_t n = 0; n < shape.width(); ++n) {
    // DuckDB takes 1 month and 30 days for equal; what counts here is what was stored.
    const char* cast = shape.types[n].shape == Shape::kInterval ? "::VARCHAR" : "";
    out += fmt::format("{}{}.{}{} IS NOT DISTINCT FROM {}.c{}{}", n == 0 ? "" : " AND ", row,
                       identifier(shape.relation->columns[n].name), cast, staged, n, cast);
  }
  return out;
}

bool same_columns(const TableShape& a, const TableShape& b) {
  // A change of type may have rewritten the values, also where the target's type stays.
  const auto same_column = [](const Column& x, const Column& y) {
    return x.name == y.name && x.attnum == y.attnum && x.type.declared == y.type.declared &&
           x.type.typmod == y.type.typmod;
  };
  return a.relation->oid == b.relation->oid && a.relation->schema == b.relation->schema &&
         a.relation->name == b.relation->name && a.types == b.types &&
         std::ranges::equal(a.relation->columns, b.relation->columns, same_column);
}

bool same_key(const TableShape& a, const TableShape& b) { return a.key == b.key && a.multiset() == b.multiset(); }

}  // namespace tailrace::duckdb
