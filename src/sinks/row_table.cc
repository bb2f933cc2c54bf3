#include "sinks/row_table.h"

#include <algorithm>
#include <utility>

#include "sinks/row_unit.h"

namespace tailrace::sinks {

void RowTable::become(RelationPtr version) {
  relation = std::move(version);
  key = relation->match_key();
}

bool append_key(TupleView row, TupleView fallback, const std::vector<std::size_t>& columns, std::string& out) {
  TupleWriter writer(out, static_cast<std::uint16_t>(columns.size()));
  for (const std::size_t column : columns) {
    Field field = field_of(row, column);
    if (field.kind == FieldKind::kUnchanged && fallback.present()) field = field_of(fallback, column);
    if (field.kind != FieldKind::kText) return false;
    writer.text(field.bytes);
  }
  return true;
}

std::optional<std::string> key_tuple(TupleView row, TupleView fallback, const std::vector<std::size_t>& columns) {
  std::string bytes;
  if (!append_key(row, fallback, columns, bytes)) return std::nullopt;
  return bytes;
}

std::vector<std::string> keys_of(const RowChange& change, const std::vector<std::size_t>& columns) {
  std::vector<std::string> keys;
  if (columns.empty()) return keys;
  if (change.new_row.present())
    if (auto key = key_tuple(change.new_row, change.old_row, columns)) keys.push_back(std::move(*key));
  if (change.old_row.present())
    if (auto key = key_tuple(change.old_row, {}, columns); key && (keys.empty() || keys.front() != *key))
      keys.push_back(std::move(*key));
  return keys;
}

bool is_lettered(const RowTable& table, const std::vector<std::string>& keys) {
  if (table.lettered.empty()) return false;
  return std::ranges::any_of(keys, [&table](const std::string& key) { return table.lettered.contains(key); });
}

}  // namespace tailrace::sinks
