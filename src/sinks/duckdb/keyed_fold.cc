#include "sinks/duckdb/keyed_fold.h"

#include <new>

namespace tailrace::duckdb {
namespace {

/// Whether the image may be this row, as far as the image is known.
bool shows(const RowImage& image, TupleView row) {
  FieldWalk known(image);
  FieldWalk told(row);
  for (std::size_t n = row.size(); n > 0; --n) {
    const Field mine = known.next();
    const Field field = told.next();
    if (mine.kind == FieldKind::kUnchanged) continue;
    if (mine.kind != field.kind || mine.bytes != field.bytes) return false;
  }
  return true;
}

}  // namespace

RowImage complete_row(const Change& change, const RowImage& before, std::size_t width, Arena& arena) {
  RowImage image{&change, change.new_row, nullptr};
  if (!has_unchanged(change.new_row)) return image;
  const std::size_t bytes = width * sizeof(Field) + alignof(Field);
  void* room = arena.allocate(bytes);
  std::size_t left = bytes;
  auto* fields = static_cast<Field*>(std::align(alignof(Field), width * sizeof(Field), room, left));
  const bool old_full = change.old_kind == OldTuple::kFull;
  FieldWalk walk(image);
  FieldWalk old_walk(old_full ? change.old_row : change.new_row);
  FieldWalk before_walk(before ? before : image);
  for (std::size_t n = 0; n < width; ++n) {
    Field field = walk.next();
    const Field old_field = old_walk.next();
    const Field before_field = before_walk.next();
    if (field.kind == FieldKind::kUnchanged && old_full) field = old_field;
    if (field.kind == FieldKind::kUnchanged && before) field = before_field;
    new (fields + n) Field(field);
  }
  image.fields = fields;
  return image;
}

std::uint32_t KeyedFold::find(ByteView key, std::uint64_t hash) const {
  if (index_.empty()) return kNone;
  const std::size_t mask = index_.size() - 1;
  for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
    const std::uint32_t slot = index_[at];
    if (slot == kNone) return kNone;
    if (slots_[slot].hash == hash && slots_[slot].key == key) return slot;
  }
}

void KeyedFold::grow() {
  index_.assign(std::max<std::size_t>(64, index_.size() * 2), kNone);
  const std::size_t mask = index_.size() - 1;
  for (std::uint32_t n = 0; n < slots_.size(); ++n) {
    // Slots from before a truncate are found no more.
    if (truncated_by_ != nullptr && n < first_after_truncate_) continue;
    std::size_t at = slots_[n].hash & mask;
    while (index_[at] != kNone) at = (at + 1) & mask;
    index_[at] = n;
  }
}

std::uint32_t KeyedFold::slot_of(ByteView key) {
  const std::uint64_t hash = hash_bytes(key);
  const std::uint32_t found = find(key, hash);
  if (found != kNone) return found;
  if ((slots_.size() - first_after_truncate_ + 1) * 2 > index_.size()) grow();
  const auto slot = static_cast<std::uint32_t>(slots_.size());
  slots_.push_back({});
  slots_.back().key = key;
  slots_.back().hash = hash;
  const std::size_t mask = index_.size() - 1;
  std::size_t at = hash & mask;
  while (index_[at] != kNone) at = (at + 1) & mask;
  index_[at] = slot;
  return slot;
}

void KeyedFold::touch(std::uint32_t index, const Change& change) {
  if (!shape_.history) return;
  Slot& slot = slots_[index];
  const bool same_moment = slot.last != nullptr && slot.last->transaction == change.transaction && !shape_.intermediate;
  if (same_moment) return;
  if (slot.last != nullptr && slot.present) {
    slot.open = static_cast<std::uint32_t>(versions_.size());
    versions_.push_back({slot.image, slot.base, nullptr});
  } else if (slot.last == nullptr && slot.existed) {
    slot.open = kInTarget;
  } else {
    slot.open = kNone;
  }
  if (slot.open == kInTarget) endings_.push_back({index, &change});
  if (slot.open < kInTarget) versions_[slot.open].ended_by = &change;
  slot.last = &change;
}

void KeyedFold::insert(const Change& change, ByteView key) {
  const std::uint32_t index = slot_of(key);
  if (slots_[index].present) contradict(change);
  touch(index, change);
  Slot& slot = slots_[index];
  slot.last = &change;
  slot.present = true;
  slot.base = kNone;
  slot.image = complete_row(change, {}, shape_.width(), arena_);
}

std::uint32_t KeyedFold::present_slot(const Change& change, ByteView key, bool absent) {
  const auto before = slots_.size();
  const std::uint32_t index = slot_of(key);
  Slot& slot = slots_[index];
  const bool fresh = slots_.size() != before;
  if (fresh && !absent && truncated_by_ == nullptr) {
    slot.existed = true;
    slot.base = index;
  } else if (fresh ? !absent : !slot.present) {
    contradict(change);
  } else if (slot.present && change.old_kind == OldTuple::kFull && !shows(slot.image, change.old_row)) {
    // Two rows of one key: the relation's key is not that of this place in the log.
    contradict(change);
  }
  return index;
}

void KeyedFold::update(const Change& change, ByteView old_key, ByteView new_key, bool absent) {
  const std::uint32_t from = present_slot(change, old_key, absent);
  touch(from, change);
  const RowImage image = complete_row(change, slots_[from].image, shape_.width(), arena_);
  const std::uint32_t base = slots_[from].base;
  slots_[from].last = &change;
  if (old_key == new_key) {
    slots_[from].image = image;
    slots_[from].present = true;
    return;
  }
  slots_[from].present = false;
  slots_[from].image = {};
  slots_[from].base = kNone;
  const std::uint32_t to = slot_of(new_key);
  if (slots_[to].present) contradict(change);
  touch(to, change);
  slots_[to].last = &change;
  slots_[to].present = true;
  slots_[to].image = image;
  slots_[to].base = base;
}

void KeyedFold::remove(const Change& change, ByteView old_key, bool absent) {
  const std::uint32_t index = present_slot(change, old_key, absent);
  touch(index, change);
  Slot& slot = slots_[index];
  slot.last = &change;
  slot.present = false;
  slot.image = {};
  slot.base = kNone;
}

void KeyedFold::truncate(const Change& change) {
  for (const Change* insert : unseen_) {
    const bool same_moment = insert->transaction == change.transaction && !shape_.intermediate;
    if (shape_.history && !same_moment) versions_.push_back({{insert, insert->new_row, nullptr}, kNone, &change});
  }
  unseen_.clear();
  for (std::uint32_t n = 0; n < slots_.size(); ++n) {
    if (!slots_[n].present) continue;
    touch(n, change);
    slots_[n].last = &change;
    slots_[n].present = false;
  }
  if (truncated_by_ == nullptr) truncated_by_ = &change;
  first_after_truncate_ = slots_.size();
  std::ranges::fill(index_, kNone);
}

void KeyedFold::settle() {
  if (!shape_.history) return;
  for (Slot& slot : slots_)
    if (slot.present) versions_.push_back({slot.image, slot.base, nullptr});
}

}  // namespace tailrace::duckdb
