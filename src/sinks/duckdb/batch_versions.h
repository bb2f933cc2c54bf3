#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/change_batch.h"
#include "model/row_translation.h"
#include "model/schema_change.h"
#include "sinks/duckdb/spec.h"
#include "sinks/duckdb/table.h"

namespace tailrace::duckdb {

/// How rows are told apart: by columns, or (when there are none) as a multiset of whole rows, or not at all.
struct RowKey {
  /// Ascending.
  std::vector<std::size_t> columns;
  bool multiset = false;

  bool operator==(const RowKey&) const = default;
};

/// Why a table is held whose rows are told apart otherwise.
inline constexpr const char* kOtherKey =
    "the columns that identify a row changed while rows of it are dead letters or incomplete";

/// The versions of one table that a batch's changes were written under. Rows of all of them are written in the form of
/// the last, since the target is altered before its first row. Made per table and batch; dies with the batch.
class BatchVersions {
 public:
  BatchVersions(Table& table, const DuckdbSpec& spec);

  /// The next version, in order. `inside`: rows of an unfinished transaction are in the target already, so that it can
  /// not be altered any more.
  void add(const Change& change, const Position& at, bool inside);

  /// Whether the table of the target has to be brought to another version.
  bool alters() const;
  bool differs() const { return !steps_.empty(); }
  /// The last version, and the change that shows it first. last_place() REQUIRES differs().
  const Relation& last() const { return steps_.empty() ? *first_ : *steps_.back().after; }
  const Position& last_place() const { return steps_.back().at; }
  /// Alters the target and the table. REQUIRES: no row of the transaction is written.
  void alter(Connection& connection);

  /// Makes rows of this version rows of the last; null where nothing differs.
  RowTranslation* translation(const Relation* relation);
  /// The version from which on the table is held, and why; null: none.
  const Relation* refused() const { return refused_; }
  const Hold& hold() const { return hold_; }
  /// How rows of this version are told apart, in columns of the last one.
  RowKey key_of(const Relation* relation) const;

 private:
  struct Step {
    SchemaChange change;
    RelationPtr after;
    Position at;
  };
  struct Version {
    std::size_t steps = 0;
    /// In columns of this version.
    RowKey key;
    std::unique_ptr<RowTranslation> rows;
  };
  std::string obstacle(const SchemaChange& change, const Relation& after, bool inside) const;
  void refuse(const Change& change, const Position& at, std::string reason);
  /// Whether the pipeline says that a person decides about it (dropped_columns: hold).
  bool asks_for_decision(const SchemaChange& change) const;
  void refuse_dropped(const Change& change, const Position& at, const SchemaChange& found);
  RowTranslation translation_from(std::size_t steps) const;

  Table& table_;
  const DuckdbSpec& spec_;
  RelationPtr first_;
  std::vector<Step> steps_;
  std::unordered_map<const Relation*, Version> versions_;
  const Relation* seen_ = nullptr;
  const Relation* refused_ = nullptr;
  Hold hold_;
};

}  // namespace tailrace::duckdb
