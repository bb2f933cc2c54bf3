#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/row_json.h"
#include "model/relation.h"
#include "sinks/lake/spec.h"
#include "sinks/row_target.h"
#include "vectors/types.h"

namespace tailrace::lake {

/// What an object may say of a change beside the table's columns (docs/lake.md).
enum class Extra : std::uint8_t { kOperation, kCommitLsn, kOrdinal, kSeq, kCommitTime, kOldRow, kUnchanged, kDeleted };

struct ExtraColumn {
  Extra what;
  const char* name;
};

/// As `_op` has it.
std::string_view operation_name(sinks::RowOperation operation);

/// One version of a table, as objects have it. Immutable, any thread; keeps what it needs of the relation.
class TableShape {
 public:
  TableShape(const Relation& relation, const LakeSpec& spec);
  TableShape(const TableShape&) = delete;
  TableShape& operator=(const TableShape&) = delete;

  /// Why the lake cannot have the table; empty: it can.
  static std::string obstacle(const Relation& relation, const LakeSpec& spec);

  const Relation& relation() const { return relation_; }
  /// The table's folder, of the layout of folders.
  const std::string& folder() const { return folder_; }
  /// Whether rows of both may stand in one file: the columns and the key are the same, whenever, and of whatever
  /// storage and publication, the catalog told of them.
  bool is_written_as(const TableShape& other) const { return written_form_ == other.written_form_; }
  /// Another number for another version, most probably.
  std::uint32_t version() const { return version_; }
  /// In Parquet and Avro, of the table's own columns.
  const std::vector<vectors::TargetType>& types() const { return types_; }
  /// The columns behind the table's own.
  const std::vector<ExtraColumn>& extras() const { return extras_; }
  /// In JSON, too, the table's columns come first.
  bool row_first() const { return row_first_; }
  /// kCommitLsn, kOrdinal, kSeq, and kCommitTime in microseconds since 1970; nothing: the change has none.
  std::optional<std::int64_t> number_of(const sinks::RowChange& change, Extra extra) const;
  /// Appends any of them as text. False, with nothing appended: the change has none.
  bool append_text_of(const sinks::RowChange& change, Extra extra, std::string& out) const;
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
  const std::string written_form_;
  const std::uint32_t version_;
  const std::vector<ExtraColumn> extras_;
  const char* const refusal_of_infinity_;
  const char* const refusal_of_value_;
  const bool row_first_;
  std::vector<vectors::TargetType> types_;
  /// Columns whose type has values that its place in an object has not.
  std::vector<std::size_t> doubtful_;
  formats::RowJson json_;
};

}  // namespace tailrace::lake
