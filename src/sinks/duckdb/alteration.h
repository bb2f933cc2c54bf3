#pragma once

#include <string>
#include <vector>

#include "model/schema_change.h"
#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/spec.h"
#include "sinks/duckdb/table.h"

namespace tailrace::duckdb {

/// Brings mirror and history of one table from one version of its relation to the next, inside the transaction that is
/// open on the connection. DuckDB commits no ALTER behind a DELETE in one transaction, so all alterations of a batch
/// come before its first row. Made per version, used by the sink's thread.
class Alteration {
 public:
  /// `table` is still of the earlier version; `at`: the change that shows the later one.
  Alteration(Connection& connection, Table& table, DroppedColumns dropped_columns, const Position& at)
      : connection_(connection), table_(table), dropped_columns_(dropped_columns), at_(at) {}

  /// Afterwards the table is of shape `next`. Throws SuspectTable when DuckDB has no room for it.
  void apply(const SchemaChange& change, TableShape next);

 private:
  /// Mirror or history, under the later version's name.
  struct Target {
    std::string name() const { return identifier(schema) + "." + identifier(table); }
    std::string schema;
    std::string table;
    bool history;
  };

  void alter(const Target& target, const std::string& what);
  void drop_columns(const Target& target, const SchemaChange& change);
  void rename_columns(const Target& target, const SchemaChange& change, const Relation& next);
  void change_types(const Target& target, const SchemaChange& change, const TableShape& next);
  void add_columns(const Target& target, const SchemaChange& change, const TableShape& next);
  /// A column left behind under a name that is wanted again gets another one.
  void free_name(const Target& target, const std::string& column);
  /// The value as a bare literal that becomes `type`: behind a column whose default is an expression, be it a cast,
  /// DuckDB commits no other added column.
  std::string literal_of(const TargetType& type, const std::string& text);
  std::vector<std::string> columns_of(const Target& target);

  Connection& connection_;
  Table& table_;
  const DroppedColumns dropped_columns_;
  const Position at_;
};

/// Gives the mirror and the history of `table` the name that `next` has; the caller's books are not touched.
void rename_target_tables(Connection& connection, const Table& table, const Relation& next);

/// Makes the macro that shows the table at a moment.
void make_as_of(Connection& connection, const Table& table);

}  // namespace tailrace::duckdb
