#include "sinks/lake/table_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <set>

#include "base/crc32c.h"
#include "base/error.h"
#include "sinks/row_unit.h"
#include "vectors/row_chunk.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;
using sinks::RowOperation;
using vectors::Shape;
using vectors::TargetType;

/// The own types of Parquet and Avro keep less of these than PostgreSQL's text: no offset of a time, no microseconds of
/// an interval.
TargetType exact_type(const ColumnType& column) {
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

bool has_types(Format format) { return format == Format::kParquet || format == Format::kAvro; }

std::vector<ExtraColumn> extras_of(const LakeSpec& spec) {
  const ConnectOptions* connect = spec.connect ? &spec.connect->options() : nullptr;
  std::vector<ExtraColumn> extras;
  if (connect != nullptr && connect->deletes == Deletes::kRewrite) extras.push_back({Extra::kDeleted, "__deleted"});
  if (connect == nullptr || connect->metadata)
    extras.insert(extras.end(), {{Extra::kOperation, "_op"},
                                 {Extra::kCommitLsn, "_commit_lsn"},
                                 {Extra::kOrdinal, "_ordinal"},
                                 {Extra::kSeq, "_seq"},
                                 {Extra::kCommitTime, "_commit_time"},
                                 {Extra::kOldRow, "_old"}});
  extras.push_back({Extra::kUnchanged, "_unchanged"});
  return extras;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Whether the type holds a value at first sight, since PostgreSQL prints it so; false: it is to be looked at.
bool surely_fits(const TargetType& type, ByteView text) {
  if (type.list || text.empty() || !is_digit(text.back())) return false;
  if (type.shape == Shape::kTimestamp || type.shape == Shape::kTimestampTz)
    return text.size() >= 19 && is_digit(text[0]) && text[4] == '-';
  if (type.width == 0) return false;
  const std::size_t sign = text.front() == '-' ? 1 : 0;
  const std::size_t point = std::min(text.find('.'), text.size());
  return is_digit(text[sign]) && point - sign <= static_cast<std::size_t>(type.width - type.scale) &&
         text.size() - point <= static_cast<std::size_t>(type.scale) + 1;
}

/// What is the same of two versions whose rows are written alike.
std::string written_form(Relation relation) {
  relation.storage = 0;
  relation.partitions.clear();
  relation.membership = 0;
  relation.standing = Standing::kFollowed;
  relation.as_of = {};
  return encode_relation(relation);
}

}  // namespace

std::string_view operation_name(RowOperation operation) {
  static constexpr std::array<std::string_view, 5> kNames = {"r", "c", "u", "d", "t"};
  return kNames.at(static_cast<std::size_t>(operation));
}

TableShape::TableShape(const Relation& relation, const LakeSpec& spec)
    : relation_(relation),
      folder_(spec.connect ? std::string() : spec.path.of(relation)),
      key_(relation.match_key()),
      written_form_(written_form(relation)),
      version_(crc32c(written_form_)),
      extras_(extras_of(spec)),
      refusal_of_infinity_(spec.form.format == Format::kAvro
                               ? "a date or a time is infinite, which Avro cannot hold"
                               : "a date or a time is infinite, which Parquet cannot hold"),
      refusal_of_value_(spec.form.format == Format::kAvro ? "a value that its type in Avro cannot hold"
                                                          : "a value that its type in Parquet cannot hold"),
      row_first_(spec.connect != nullptr),
      json_(relation_) {
  for (std::size_t n = 0; n < relation.columns.size(); ++n) {
    types_.push_back(exact_type(relation.columns[n].type));
    if (has_types(spec.form.format) && (types_[n].may_refuse() || has_infinity(types_[n]))) doubtful_.push_back(n);
  }
}

std::string TableShape::obstacle(const Relation& relation, const LakeSpec& spec) {
  const bool exact = spec.form.format != Format::kParquet;
  std::set<std::string> seen;
  for (const ExtraColumn& extra : extras_of(spec)) seen.insert(extra.name);
  for (const Column& column : relation.columns)
    if (!seen.insert(exact ? column.name : lower(column.name)).second)
      return fmt::format("its column {} has the name of another one, or of the sink's own{}", column.name,
                         exact ? "" : "; readers of Parquet do not tell upper case from lower case");
  return {};
}

std::optional<std::int64_t> TableShape::number_of(const RowChange& change, Extra extra) const {
  switch (extra) {
    case Extra::kCommitLsn: return static_cast<std::int64_t>(change.position.commit_end.value());
    case Extra::kOrdinal: return static_cast<std::int64_t>(change.position.ordinal);
    case Extra::kSeq: return static_cast<std::int64_t>(change.seq.value());
    case Extra::kCommitTime:
      if (change.operation == RowOperation::kCopied) return std::nullopt;
      return change.commit_time.unix_micros();
    default: throw DefectError("a column of text was taken for a number");
  }
}

bool TableShape::append_text_of(const RowChange& change, Extra extra, std::string& out) const {
  switch (extra) {
    case Extra::kOperation: out += operation_name(change.operation); return true;
    case Extra::kCommitLsn:
    case Extra::kOrdinal:
    case Extra::kSeq: fmt::format_to(std::back_inserter(out), "{}", *number_of(change, extra)); return true;
    case Extra::kCommitTime:
      if (change.operation == RowOperation::kCopied) return false;
      out += change.commit_time.str();
      return true;
    case Extra::kOldRow:
      if (change.operation != RowOperation::kUpdate || !change.old_row.present()) return false;
      append_old(change, out);
      return true;
    case Extra::kUnchanged:
      if (!change.new_row.present() || !sinks::has_unchanged(change.new_row)) return false;
      json_.append_unchanged(change.new_row, out);
      return true;
    case Extra::kDeleted: out += change.operation == RowOperation::kDelete ? "true" : "false"; return true;
  }
  return false;
}

const char* TableShape::refusal_of(const RowChange& change) const {
  if (doubtful_.empty()) return nullptr;
  const TupleView row = change.row();
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
    if (surely_fits(type, field.bytes)) continue;
    if (has_infinity(type) && field.bytes.find("infinity") != ByteView::npos) return refusal_of_infinity_;
    if (!vectors::fits(type, field.bytes, scratch)) return refusal_of_value_;
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
