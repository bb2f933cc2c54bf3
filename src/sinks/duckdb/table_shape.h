#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/relation.h"
#include "rules/row_rules.h"
#include "sinks/duckdb/types.h"

namespace tailrace::duckdb {

/// What is fixed about one mirrored table as long as its Relation holds: the target's types and how rows are told
/// apart. Immutable; owned by its Table.
struct TableShape {
  /// `rules`: null where there are none. Throws what RowCheck() throws.
  TableShape(RelationPtr relation, OnUnrepresentable on_unrepresentable, const rules::RowRules* rules = nullptr);

  /// Rows are told apart by key columns; else by all columns (multiset); else not at all (append only).
  bool keyed() const { return !key.empty(); }
  bool multiset() const { return key.empty() && whole_rows; }
  std::size_t width() const { return relation->columns.size(); }
  std::vector<TargetType> key_types() const;
  /// Under FULL: rows are told apart by all their columns, whatever key the relation names.
  void go_by_whole_rows();

  RelationPtr relation;
  std::vector<TargetType> types;
  /// Indexes of the match key's columns, ascending.
  std::vector<std::size_t> key;
  /// The source sends whole old rows.
  bool whole_rows = false;
  bool history = false;
  bool intermediate = false;
  /// Later changes of a row with a dead letter are applied.
  bool apply_later = false;
  /// Null: its rows have to fulfil nothing.
  std::shared_ptr<const rules::RowCheck> check;
};

/// SQL: the relation's columns in order, or those with these indexes.
std::string listed_columns(const Relation& relation);
std::string listed_columns(const Relation& relation, const std::vector<std::size_t>& columns);
/// SQL: declarations of staged columns: c0 TYPE, c1 TYPE … for the prefix 'c'.
std::string declared(char prefix, const std::vector<TargetType>& types);
/// SQL: the columns of a staged row in the same order: c0, c1 …
std::string staged_columns(const TableShape& shape);
/// SQL: whether the rows called `row` (with the relation's columns) and `staged` (b0, b1 … for the prefix 'b') have the
/// same values in these columns, none of them NULL.
std::string equal_columns(const Relation& relation, const std::vector<std::size_t>& columns, const char* row,
                          const char* staged, char prefix = 'b');
/// SQL: whether the rows called `row` (with the table's columns) and `staged` (c0, c1 …) are the same in everything.
std::string row_condition(const TableShape& shape, const char* row, const char* staged);

/// Whether the target's columns are the same under both versions of a relation.
bool same_columns(const TableShape& a, const TableShape& b);
/// Whether rows are told apart alike.
bool same_key(const TableShape& a, const TableShape& b);

}  // namespace tailrace::duckdb
