#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "rules/row_rules.h"
#include "sinks/duckdb/handle.h"

namespace tailrace::duckdb {

/// Conditions in DuckDB's SQL on rows, in a database of its own in memory (see rules::Conditions). Columns whose types
/// DuckDB reads as PostgreSQL prints them have those types, all others are text.
class RowConditions final : public rules::Conditions {
 public:
  /// Throws RefusedError TR872 for what DuckDB cannot read.
  RowConditions(const Relation& relation, const std::vector<rules::Pattern>& patterns,
                const std::vector<std::string>& sql);
  std::optional<std::size_t> broken_by(TupleView row) override;

 private:
  std::mutex mutex_;
  Connection connection_;
  /// The columns that a condition may speak of, ascending; each is a parameter.
  std::vector<std::size_t> columns_;
  /// Gives the place of the first condition that is broken.
  std::unique_ptr<Statement> statement_;
};

}  // namespace tailrace::duckdb
