#include "model/row_translation.h"

#include <utility>

namespace tailrace {

RowTranslation::RowTranslation(std::size_t columns) {
  for (std::size_t n = 0; n < columns; ++n) origins_.push_back({n, std::nullopt});
}

void RowTranslation::then(const SchemaChange& change, std::size_t columns) {
  if (change.nothing_visible) return;
  identity_ = false;
  std::vector<Origin> next(columns);
  for (const auto& [before, after] : change.kept) next[after] = std::move(origins_[before]);
  for (const auto& added : change.added) next[added.after].missing = added.missing;
  origins_ = std::move(next);
}

std::optional<std::size_t> RowTranslation::place_of(std::size_t column) const {
  for (std::size_t n = 0; n < origins_.size(); ++n)
    if (origins_[n].column == column) return n;
  return std::nullopt;
}

const Change& RowTranslation::translate(const Change& change, const Relation& relation) {
  Change& out = changes_.emplace_back(change);
  out.relation = &relation;
  out.old_row = translate(change.old_row, change.old_kind == OldTuple::kKey);
  out.new_row = translate(change.new_row, false);
  return out;
}

TupleView RowTranslation::translate(TupleView row, bool key_only) {
  if (!row.present()) return row;
  fields_.clear();
  auto cursor = row.begin();
  for (std::size_t n = row.size(); n > 0; --n) fields_.push_back(cursor.next());
  std::string& bytes = bytes_.emplace_back();
  TupleWriter writer(bytes, static_cast<std::uint16_t>(origins_.size()));
  for (const Origin& origin : origins_) {
    const Field field = origin.column ? fields_[*origin.column] : Field{};
    if (field.kind == FieldKind::kText) {
      writer.text(field.bytes);
    } else if (field.kind == FieldKind::kUnchanged) {
      writer.unchanged();
    } else if (!origin.column && origin.missing && !key_only) {
      writer.text(*origin.missing);
    } else {
      writer.null();
    }
  }
  return TupleView(bytes);
}

}  // namespace tailrace
