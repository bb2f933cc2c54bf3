#include "sinks/warehouse/table_shape.h"

#include <fmt/format.h>

#include <array>
#include <set>
#include <utility>

#include "base/error.h"
#include "vectors/row_chunk.h"

namespace tailrace::warehouse {
namespace {

using sinks::RowChange;
using sinks::RowOperation;

/// What a text and a binary value may have at most, where a column is declared without a length.
constexpr std::size_t kLongestText = 16U << 20;
constexpr std::size_t kLongestBinary = 8U << 20;

const char* refusal_of_value(const TypePlan& type, ByteView text, std::vector<char>& scratch) {
  switch (type.bounds) {
    case Bounds::kNone: break;
    case Bounds::kText:
      if (text.size() > kLongestText) return "a text is longer than 16 MiB";
      break;
    case Bounds::kBytes:
      // Two digits a byte, behind \x.
      if (text.size() > 2 * kLongestBinary + 2) return "a binary value is longer than 8 MiB";
      break;
    case Bounds::kDays:
      if (text.find("infinity") != ByteView::npos) return "a date or a time is infinite";
      if (text.ends_with("BC") || text.find('-') != 4) return "a date is not in the years 1 to 9999";
      break;
    case Bounds::kTimes:
      if (text.starts_with("24")) return "a time is 24:00";
      break;
  }
  return vectors::fits(type.staged, text, scratch) ? nullptr : "a value that its type at the target cannot hold";
}

const char* operation_name(RowOperation operation) {
  switch (operation) {
    case RowOperation::kCopied: return kSnapshot;
    case RowOperation::kInsert: return kInsert;
    case RowOperation::kUpdate: return kUpdate;
    case RowOperation::kDelete: return kDelete;
    case RowOperation::kTruncate: break;
  }
  throw DefectError("a truncate reached a table of rows");
}

}  // namespace

TableShape::TableShape(const Relation& relation, const Dialect& dialect, std::string name, std::string source_db)
    : oid_(relation.oid), has_key_(!relation.match_key().empty()), source_db_(std::move(source_db)) {
  plan_.name = std::move(name);
  plan_.own = relation.columns.size();
  for (const Column& column : relation.columns)
    plan_.columns.push_back({dialect.name_of(column.name), dialect.type_of(column.type)});
  for (const std::size_t column : relation.match_key()) plan_.columns[column].in_key = true;
  for (const Meta meta : {Meta::kOperation, Meta::kTime, Meta::kSource})
    plan_.columns.push_back(dialect.meta_column(meta));
}

std::string TableShape::obstacle() const {
  if (!has_key_) return "it has no key by which its rows could be told apart";
  std::set<std::string> seen;
  for (std::size_t n = plan_.columns.size(); n-- > 0;)
    if (!seen.insert(plan_.columns[n].name).second)
      return fmt::format("its column {} has there the name of another one, or of the sink's own",
                         plan_.columns[n].name);
  return {};
}

const char* TableShape::refusal_of(const RowChange& change) const {
  thread_local std::vector<char> scratch;
  const bool removes = change.operation == RowOperation::kDelete;
  const TupleView row = removes ? change.old_row : change.new_row;
  if (!row.present()) return nullptr;
  auto fields = row.begin();
  for (std::size_t n = 0; n < plan_.own; ++n) {
    const Field field = fields.next();
    if (field.kind != FieldKind::kText || (removes && !plan_.columns[n].in_key)) continue;
    if (const char* reason = refusal_of_value(plan_.columns[n].type, field.bytes, scratch)) return reason;
  }
  return nullptr;
}

std::unique_ptr<vectors::ParquetRows> TableShape::file(std::shared_ptr<vectors::ParquetEngine> engine) const {
  std::vector<vectors::ParquetColumn> columns;
  std::vector<vectors::TargetType> types;
  for (std::size_t n = 0; n < plan_.columns.size(); ++n) {
    const vectors::TargetType& staged = plan_.columns[n].type.staged;
    columns.push_back({Dialect::staged_name(n), staged.sql()});
    if (n < plan_.own) types.push_back(staged);
  }
  return std::make_unique<vectors::ParquetRows>(std::move(engine), std::move(columns), std::move(types),
                                                std::vector<std::size_t>());
}

void TableShape::append(const RowChange& change, vectors::ParquetRows& file) const {
  const bool removes = change.operation == RowOperation::kDelete;
  const TupleView row = removes ? change.old_row : change.new_row;
  vectors::RowChunk& into = file.row();
  auto fields = row.begin();
  for (std::size_t n = 0; n < plan_.own; ++n) {
    Field field = fields.next();
    // Of a row that goes only its key means anything.
    if (field.kind == FieldKind::kUnchanged || (removes && !plan_.columns[n].in_key)) field = {};
    if (!into.put(n, field)) throw DefectError("a change was not refused that its file cannot hold");
  }
  into.set_text(plan_.own, operation_name(change.operation));
  into.set_int64(plan_.own + 1, change.commit_time.unix_micros());
  into.set_text(plan_.own + 2, source_db_);
  file.end_row();
}

}  // namespace tailrace::warehouse
