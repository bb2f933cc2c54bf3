#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "formats/row_json.h"
#include "model/relation.h"
#include "sinks/lake/spec.h"
#include "sinks/row_target.h"
#include "vectors/types.h"

namespace tailrace::lake {

/// The columns that every object has behind those of the table (docs/lake.md).
inline constexpr const char* kOperation = "_op";
inline constexpr const char* kCommitLsn = "_commit_lsn";
inline constexpr const char* kOrdinal = "_ordinal";
inline constexpr const char* kSeq = "_seq";
inline constexpr const char* kCommitTime = "_commit_time";
inline constexpr const char* kOldRow = "_old";
inline constexpr const char* kUnchangedColumns = "_unchanged";

/// As `_op` has it.
std::string_view operation_name(sinks::RowOperation operation);

/// One version of a table, as objects have it. Immutable, any thread; keeps what it needs of the relation.
class TableShape {
 public:
  TableShape(const Relation& relation, const LakeSpec& spec);
  TableShape(const TableShape&) = delete;
  TableShape& operator=(const TableShape&) = delete;

  /// Why the lake cannot have the table; empty: it can.
  static std::string obstacle(const Relation& relation, Format format);

  const Relation& relation() const { return relation_; }
  /// The table's folder.
  const std::string& folder() const { return folder_; }
  /// In Parquet, of the table's own columns.
  const std::vector<vectors::TargetType>& types() const { return types_; }
  /// Columns by which rows are sorted in an object.
  const std::vector<std::size_t>& key() const { return key_; }
  /// Why the format cannot hold this change; null: it can.
  const char* refusal_of(const sinks::RowChange& change) const;
  /// The columns of what a delete or update says of the row before it: of a key only, or all.
  void append_old(const sinks::RowChange& change, std::string& out) const;
  const formats::RowJson& json() const { return json_; }

 private:
  const Relation relation_;
  const std::string folder_;
  const std::vector<std::size_t> key_;
  std::vector<vectors::TargetType> types_;
  /// Columns whose type has values that its place in Parquet has not.
  std::vector<std::size_t> doubtful_;
  formats::RowJson json_;
};

}  // namespace tailrace::lake
