#include "sinks/lake/table_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "vectors/row_chunk.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;
using sinks::RowOperation;
using vectors::Shape;
using vectors::TargetType;

/// Parquet's own types keep less of these than PostgreSQL's text: no offset of a time, no microseconds of an interval.
TargetType parquet_type(const ColumnType& column) {
  TargetType type = vectors::target_type(column);
  if (type.shape == Shape::kTimeTz || type.shape == Shape::kInterval) type.shape = Shape::kVarchar;
  return type;
}

bool has_infinity(const TargetType& type) {
  return type.shape == Shape::kDate || type.shape == Shape::kTimestamp || type.shape == Shape::kTimestampTz;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

std::string_view operation_name(RowOperation operation) {
  static constexpr std::array<std::string_view, 5> kNames = {"r", "c", "u", "d", "t"};
  return kNames.at(static_cast<std::size_t>(operation));
}

TableShape::TableShape(const Relation& relation, const LakeSpec& spec)
    : relation_(relation), folder_(spec.path.of(relation)), key_(relation.match_key()), json_(relation_) {
  for (std::size_t n = 0; n < relation.columns.size(); ++n) {
    types_.push_back(parquet_type(relation.columns[n].type));
    if (spec.format == Format::kParquet && (types_[n].may_refuse() || has_infinity(types_[n]))) doubtful_.push_back(n);
  }
}

std::string TableShape::obstacle(const Relation& relation, Format format) {
  std::set<std::string> seen = {kOperation, kCommitLsn, kOrdinal, kSeq, kCommitTime, kOldRow, kUnchangedColumns};
  for (const Column& column : relation.columns) {
    const bool exact = format == Format::kJsonLines;
    if (!seen.insert(exact ? column.name : lower(column.name)).second)
      return fmt::format("its column {} has the name of another one, or of the sink's own{}", column.name,
                         exact ? "" : "; readers of Parquet do not tell upper case from lower case");
  }
  return {};
}

const char* TableShape::refusal_of(const RowChange& change) const {
  if (doubtful_.empty()) return nullptr;
  const TupleView row = change.new_row.present() ? change.new_row : change.old_row;
  if (!row.present()) return nullptr;
  thread_local std::vector<char> scratch;
  auto fields = row.begin();
  std::size_t next = 0;
  for (const std::size_t column : doubtful_) {
    Field field;
    while (next <= column) {
      field = fields.next();
      ++next;
    }
    if (field.kind != FieldKind::kText) continue;
    const TargetType& type = types_[column];
    if (has_infinity(type) && field.bytes.find("infinity") != ByteView::npos)
      return "a date or a time is infinite, which Parquet cannot hold";
    if (!vectors::fits(type, field.bytes, scratch)) return "a value that its type in Parquet cannot hold";
  }
  return nullptr;
}

void TableShape::append_old(const RowChange& change, std::string& out) const {
  if (change.old_kind == OldTuple::kFull) {
    json_.append(change.old_row, out);
  } else {
    json_.append(change.old_row, key_, out);
  }
}

}  // namespace tailrace::lake
