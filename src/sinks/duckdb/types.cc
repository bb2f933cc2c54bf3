#include "sinks/duckdb/types.h"

namespace tailrace::duckdb {

TargetType target_type(const ColumnType& type, OnUnrepresentable on_unrepresentable) {
  const TargetType out = vectors::target_type(type);
  return on_unrepresentable == OnUnrepresentable::kText && out.may_refuse() ? TargetType() : out;
}

}  // namespace tailrace::duckdb
