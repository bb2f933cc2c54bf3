#include "sinks/row_unit.h"

#include <utility>

namespace tailrace::sinks {
namespace {

std::size_t size_of(const RowChange& change) { return change.old_row.bytes().size() + change.new_row.bytes().size(); }

}  // namespace

void RowUnit::keep(const ChangeBatch& batch) {
  buffers_.insert(buffers_.end(), batch.buffers.begin(), batch.buffers.end());
  relations_.insert(relations_.end(), batch.relations.begin(), batch.relations.end());
}

void RowUnit::add(const RowChange& change) {
  entries_.push_back({change});
  bytes_ += size_of(change);
  ++alive_;
}

void RowUnit::drop(std::size_t at) {
  Entry& entry = entries_[at];
  if (!entry.alive) return;
  entry.alive = false;
  --alive_;
}

void RowUnit::put(const std::string& key, const RowChange& change) {
  const auto [place, is_new] = by_key_[change.relation->oid.value()].try_emplace(key, entries_.size());
  if (!is_new) {
    drop(place->second);
    place->second = entries_.size();
  }
  add(change);
}

TupleView RowUnit::row_of(const Relation& relation, const std::string& key) const {
  const auto table = by_key_.find(relation.oid.value());
  if (table == by_key_.end()) return {};
  const auto found = table->second.find(key);
  return found == table->second.end() ? TupleView() : entries_[found->second].change.new_row;
}

void RowUnit::forget(const Relation& relation, const std::string& key) {
  const auto table = by_key_.find(relation.oid.value());
  if (table == by_key_.end()) return;
  const auto found = table->second.find(key);
  if (found == table->second.end()) return;
  drop(found->second);
  table->second.erase(found);
}

void RowUnit::forget_table(const Relation& relation) {
  const auto table = by_key_.find(relation.oid.value());
  if (table == by_key_.end()) return;
  for (const auto& [key, at] : table->second) drop(at);
  by_key_.erase(table);
}

std::vector<RowChange> RowUnit::changes() const {
  std::vector<RowChange> out;
  out.reserve(alive_);
  for (const Entry& entry : entries_)
    if (entry.alive) out.push_back(entry.change);
  return out;
}

void RowUnit::clear() {
  entries_.clear();
  by_key_.clear();
  alive_ = 0;
  bytes_ = 0;
  owned_.clear();
  buffers_.clear();
  relations_.clear();
}

bool has_unchanged(TupleView row) {
  auto fields = row.begin();
  for (std::size_t n = 0; n < row.size(); ++n)
    if (fields.next().kind == FieldKind::kUnchanged) return true;
  return false;
}

CompletedRow completed(TupleView row, TupleView known, TupleView old_row) {
  CompletedRow out;
  TupleWriter writer(out.bytes, static_cast<std::uint16_t>(row.size()));
  // Only tuples of one version have the same columns.
  const auto usable = [&row](TupleView other) { return other.present() && other.size() == row.size() ? other : row; };
  auto fields = row.begin();
  auto known_fields = usable(known).begin();
  auto old_fields = usable(old_row).begin();
  for (std::size_t n = 0; n < row.size(); ++n) {
    Field field = fields.next();
    const Field of_known = known_fields.next();
    const Field of_old = old_fields.next();
    if (field.kind == FieldKind::kUnchanged) field = of_old;
    if (field.kind == FieldKind::kUnchanged) field = of_known;
    if (field.kind == FieldKind::kUnchanged) {
      writer.unchanged();
      out.whole = false;
    } else if (field.kind == FieldKind::kNull) {
      writer.null();
    } else {
      writer.text(field.bytes);
    }
  }
  return out;
}

}  // namespace tailrace::sinks
