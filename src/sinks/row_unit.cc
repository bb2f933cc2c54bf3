#include "sinks/row_unit.h"

#include <algorithm>
#include <utility>

#include "sinks/row_table.h"

namespace tailrace::sinks {
namespace {

std::size_t size_of(const RowChange& change) { return change.old_row.bytes().size() + change.new_row.bytes().size(); }

}  // namespace

void RowUnit::keep(const ChangeBatch& batch) {
  buffers_.insert(buffers_.end(), batch.buffers.begin(), batch.buffers.end());
  relations_.insert(relations_.end(), batch.relations.begin(), batch.relations.end());
}

void RowUnit::add(const RowChange& change) {
  changes_.push_back(change);
  bytes_ += size_of(change);
}

RowUnit::OfTable& RowUnit::of_table(const Relation& relation) {
  if (last_table_ == nullptr || last_oid_ != relation.oid.value()) {
    last_oid_ = relation.oid.value();
    last_table_ = &tables_[last_oid_];
  }
  return *last_table_;
}

void RowUnit::insert(const RowChange& change, const std::vector<std::size_t>& columns) {
  OfTable& table = of_table(*change.relation);
  if (!table.places.empty()) return put(key_tuple(change.new_row, {}, columns).value_or(std::string()), change);
  if (table.listed.empty()) table.columns = columns;
  table.listed.push_back(static_cast<std::uint32_t>(changes_.size()));
  add(change);
}

void RowUnit::place_listed(OfTable& table) {
  std::string key;
  for (const std::uint32_t at : table.listed) {
    key.clear();
    append_key(changes_[at].new_row, {}, table.columns, key);
    const std::uint32_t before = table.places.set(key, at);
    if (before != KeyPlaces::kNone) dead_.push_back(before);
  }
  table.listed.clear();
}

KeyPlaces& RowUnit::places_of(const Relation& relation) {
  OfTable& table = of_table(relation);
  if (!table.listed.empty()) place_listed(table);
  return table.places;
}

void RowUnit::put(std::string_view key, const RowChange& change) {
  const std::uint32_t before = places_of(*change.relation).set(key, static_cast<std::uint32_t>(changes_.size()));
  if (before != KeyPlaces::kNone) dead_.push_back(before);
  add(change);
}

const RowChange* RowUnit::change_of(const Relation& relation, std::string_view key) {
  const std::uint32_t at = places_of(relation).find(key);
  return at == KeyPlaces::kNone ? nullptr : &changes_[at];
}

TupleView RowUnit::row_of(const Relation& relation, std::string_view key) {
  const std::uint32_t at = places_of(relation).find(key);
  return at == KeyPlaces::kNone ? TupleView() : changes_[at].new_row;
}

void RowUnit::forget(const Relation& relation, std::string_view key) {
  KeyPlaces& places = places_of(relation);
  if (places.find(key) != KeyPlaces::kNone) dead_.push_back(places.set(key, KeyPlaces::kNone));
}

void RowUnit::forget_table(const Relation& relation) {
  OfTable& table = of_table(relation);
  dead_.insert(dead_.end(), table.listed.begin(), table.listed.end());
  table.places.for_each([this](std::uint32_t place) { dead_.push_back(place); });
  table = {};
}

std::span<const RowChange> RowUnit::changes() {
  if (!dead_.empty()) compact();
  return changes_;
}

void RowUnit::compact() {
  std::ranges::sort(dead_);
  std::size_t to = 0;
  auto next_dead = dead_.begin();
  for (std::size_t from = 0; from < changes_.size(); ++from) {
    if (next_dead != dead_.end() && *next_dead == from) {
      ++next_dead;
      continue;
    }
    if (to != from) changes_[to] = changes_[from];
    ++to;
  }
  changes_.resize(to);
  const auto move = [this](std::uint32_t& place) {
    place -= static_cast<std::uint32_t>(std::ranges::lower_bound(dead_, place) - dead_.begin());
  };
  for (auto& [oid, table] : tables_) {
    std::ranges::for_each(table.listed, move);
    table.places.for_each(move);
  }
  dead_.clear();
}

void RowUnit::clear() {
  changes_.clear();
  dead_.clear();
  tables_.clear();
  last_table_ = nullptr;
  bytes_ = 0;
  owned_.clear();
  buffers_.clear();
  relations_.clear();
}

bool is_whole(TupleView row, const std::vector<std::size_t>& columns) {
  auto fields = row.begin();
  for (std::size_t n = 0; n < row.size(); ++n) {
    const Field field = fields.next();
    if (field.kind == FieldKind::kText) continue;
    if (field.kind == FieldKind::kUnchanged || std::ranges::find(columns, n) != columns.end()) return false;
  }
  return true;
}

bool has_unchanged(TupleView row) {
  auto fields = row.begin();
  for (std::size_t n = 0; n < row.size(); ++n)
    if (fields.next().kind == FieldKind::kUnchanged) return true;
  return false;
}

Field field_of(TupleView row, std::size_t column) {
  auto fields = row.begin();
  for (std::size_t n = 0; n < column; ++n) fields.next();
  return fields.next();
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
