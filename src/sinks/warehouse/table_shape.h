#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/relation.h"
#include "sinks/row_target.h"
#include "sinks/warehouse/dialect.h"
#include "vectors/parquet_rows.h"

namespace tailrace::warehouse {

/// One version of a table, as the warehouse has it and as staged files have it. Immutable, any thread; keeps what it
/// needs of the relation.
class TableShape {
 public:
  /// `name`: of the table there. `source_db`: what that column says.
  TableShape(const Relation& relation, const Dialect& dialect, std::string name, std::string source_db);

  Oid oid() const { return oid_; }
  const TablePlan& plan() const { return plan_; }
  /// Why the warehouse cannot have the table; empty: it can.
  std::string obstacle() const;
  /// Why it cannot hold the change, for a person; null: it can.
  const char* refusal_of(const sinks::RowChange& change) const;

  /// A file for changes of this version.
  std::unique_ptr<vectors::ParquetRows> file(std::shared_ptr<vectors::ParquetEngine> engine) const;
  /// REQUIRES: no refusal, and the file is of this shape; the change's bytes stay until the file took them in.
  void append(const sinks::RowChange& change, vectors::ParquetRows& file) const;

 private:
  const Oid oid_;
  const bool has_key_;
  const std::string source_db_;
  TablePlan plan_;
};

}  // namespace tailrace::warehouse
