#include "sinks/duckdb/table_shape.h"

#include <algorithm>
#include <utility>

namespace tailrace::duckdb {

TableShape::TableShape(RelationPtr from, OnUnrepresentable on_unrepresentable)
    : relation(std::move(from)), key(relation->match_key()), whole_rows(relation->identity == ReplicaIdentity::kFull) {
  std::ranges::sort(key);
  for (const Column& column : relation->columns) types.push_back(target_type(column.type, on_unrepresentable));
}

std::vector<TargetType> TableShape::key_types() const {
  std::vector<TargetType> out;
  for (const std::size_t column : key) out.push_back(types[column]);
  return out;
}

void TableShape::go_by_whole_rows() {
  if (relation->identity == ReplicaIdentity::kFull) key.clear();
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
