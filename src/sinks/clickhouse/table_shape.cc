#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/error.h"
#include "formats/row_json.h"
#include "sinks/clickhouse/tables.h"

namespace tailrace::clickhouse {
namespace {

using sinks::RowChange;
using sinks::RowOperation;
using sinks::RowStyle;

constexpr std::array<const char*, 5> kLetters = {"r", "c", "u", "d", "t"};

const char* refusal_of_null(const Cell& cell, bool made) {
  if (cell.may_be_null() || cell.in_key()) return nullptr;
  if (cell.target().array) return "an array is NULL, which the column at the target cannot be";
  // A column of ours is altered.
  return made ? nullptr : "a value is NULL, which the column at the target cannot be";
}

}  // namespace

TableShape::TableShape(const Relation& relation, const TableFacts& facts, RowStyle style, std::string table, bool made)
    : relation_(relation), oid_(relation.oid), style_(style), table_(std::move(table)), made_(made) {
  const std::string why = misfit(relation, facts, style);
  if (!why.empty())
    throw RefusedError("TR845",
                       fmt::format("table {} does not fit {} any more: {}", table_, relation.display_name(), why),
                       "alter it so that it fits, or copy the table again: tailrace snapshot");
  std::string names;
  std::string header_names;
  std::string header_types;
  const auto add = [&](const TableFacts::Column& column) {
    names += (names.empty() ? "" : ", ") + identifier(column.name);
    append_text(column.name, header_names);
    append_text(column.type, header_types);
  };
  const std::vector<std::size_t> key = relation.match_key();
  std::vector<bool> in_key(relation.columns.size());
  for (const std::size_t column : key) in_key[column] = true;
  cells_.reserve(relation.columns.size());
  for (std::size_t n = 0; n < relation.columns.size(); ++n) {
    const TableFacts::Column& there = *facts.column(relation.columns[n].name);
    add(there);
    types_.push_back(there.type);
    cells_.emplace_back(relation.columns[n].type, parse_type(there.type).value_or(TargetType{}), in_key[n]);
  }
  for (const MetaColumn& meta : meta_columns(style)) {
    const TableFacts::Column* there = facts.column(meta.name);
    if (there == nullptr) continue;
    add(*there);
    metas_.push_back(meta.meta);
  }
  append_size(cells_.size() + metas_.size(), header_);
  header_ += header_names + header_types;
  insert_sql_ = fmt::format("INSERT INTO {} ({}) FORMAT RowBinaryWithNamesAndTypes", table_, names);
}

const char* TableShape::refusal_of(const RowChange& change) const {
  const bool removes = !change.new_row.present();
  const TupleView row = removes ? change.old_row : change.new_row;
  if (!row.present()) return nullptr;
  auto fields = row.begin();
  for (const Cell& cell : cells_) {
    const Field field = fields.next();
    if (removes && style_ == RowStyle::kState && !cell.in_key()) continue;
    const char* reason = nullptr;
    if (field.kind == FieldKind::kText) {
      reason = cell.refusal_of(field.bytes);
    } else if (!removes) {
      reason = refusal_of_null(cell, made_);
    }
    if (reason != nullptr) return reason;
  }
  return nullptr;
}

std::optional<std::size_t> TableShape::append(const RowChange& change, std::string& out) const {
  const bool removes = !change.new_row.present();
  const TupleView row = removes ? change.old_row : change.new_row;
  const bool key_only = removes && style_ == RowStyle::kState;
  if (row.present()) {
    auto fields = row.begin();
    for (std::size_t n = 0; n < cells_.size(); ++n) {
      const Cell& cell = cells_[n];
      const Field field = fields.next();
      if (field.kind == FieldKind::kText && (!key_only || cell.in_key())) {
        if (const char* reason = cell.append(field.bytes, out))
          throw sinks::RowsRefused("TR847", reason, "correct it at the source");
      } else if (removes || cell.may_be_null() || cell.in_key()) {
        cell.append_nothing(out);
      } else {
        return n;
      }
    }
  } else {
    for (const Cell& cell : cells_) cell.append_nothing(out);
  }
  append_meta(change, out);
  return std::nullopt;
}

void TableShape::append_meta(const RowChange& change, std::string& out) const {
  for (const Meta meta : metas_) {
    std::string text;
    switch (meta) {
      case Meta::kVersion: append_number(change.seq.value(), out); break;
      case Meta::kDeleted: out.push_back(change.operation == RowOperation::kDelete ? '\1' : '\0'); break;
      case Meta::kOperation: append_text(kLetters.at(static_cast<std::size_t>(change.operation)), out); break;
      case Meta::kCommitTime: append_number(change.commit_time.unix_micros(), out); break;
      case Meta::kOld:
        if (change.old_row.present() && change.old_kind == OldTuple::kKey)
          formats::RowJson(relation_).append(change.old_row, relation_.match_key(), text);
        if (change.old_row.present() && change.old_kind == OldTuple::kFull)
          formats::RowJson(relation_).append(change.old_row, text);
        append_text(text, out);
        break;
      case Meta::kUnchanged:
        text = "[]";
        if (change.new_row.present()) {
          text.clear();
          formats::RowJson(relation_).append_unchanged(change.new_row, text);
        }
        append_text(text, out);
        break;
    }
  }
}

}  // namespace tailrace::clickhouse
