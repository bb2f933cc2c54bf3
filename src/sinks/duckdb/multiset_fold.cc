#include "sinks/duckdb/multiset_fold.h"

#include "sinks/duckdb/key.h"
#include "sinks/duckdb/keyed_fold.h"

namespace tailrace::duckdb {

MultisetFold::MultisetFold(const TableShape& shape) : shape_(shape) {
  for (const TargetType& type : shape.types)
    floating_.push_back(!type.list && (type.shape == Shape::kFloat || type.shape == Shape::kDouble));
}

ByteView MultisetFold::canonical(std::size_t column, const Field& field) const {
  if (floating_[column] && field.bytes == "-0") return "0";
  return field.bytes;
}

std::uint64_t MultisetFold::hash(const RowImage& row) const {
  std::uint64_t value = 0;
  FieldWalk walk(row);
  for (std::size_t n = 0; n < shape_.width(); ++n) {
    const Field field = walk.next();
    value = hash_bytes(canonical(n, field), value + static_cast<unsigned char>(field.kind));
  }
  return value;
}

bool MultisetFold::same(const RowImage& a, const RowImage& b, bool exactly) const {
  FieldWalk left(a);
  FieldWalk right(b);
  for (std::size_t n = 0; n < shape_.width(); ++n) {
    const Field x = left.next();
    const Field y = right.next();
    if (x.kind != y.kind) return false;
    if (exactly ? x.bytes != y.bytes : canonical(n, x) != canonical(n, y)) return false;
  }
  return true;
}

void MultisetFold::grow() {
  index_.assign(std::max<std::size_t>(64, index_.size() * 2), kNone);
  const std::size_t mask = index_.size() - 1;
  for (std::uint32_t n = 0; n < groups_.size(); ++n) {
    std::size_t at = groups_[n].hash & mask;
    while (index_[at] != kNone) at = (at + 1) & mask;
    index_[at] = n;
  }
}

MultisetFold::Group& MultisetFold::group_of(const RowImage& row) {
  if ((groups_.size() + 1) * 2 > index_.size()) grow();
  const std::uint64_t wanted = hash(row);
  const std::size_t mask = index_.size() - 1;
  std::size_t at = wanted & mask;
  for (; index_[at] != kNone; at = (at + 1) & mask) {
    Group& group = groups_[index_[at]];
    if (group.hash == wanted && same(group.sample, row, false)) return group;
  }
  index_[at] = static_cast<std::uint32_t>(groups_.size());
  groups_.push_back({wanted, row, {}, {}});
  return groups_.back();
}

void MultisetFold::add_new(const Change& change) {
  const RowImage row = complete_row(change, {}, shape_.width(), arena_);
  group_of(row).added.push_back(row);
}

void MultisetFold::take_old(const Change& change) {
  const RowImage row{&change, change.old_row, nullptr};
  Group& group = group_of(row);
  for (std::size_t n = group.added.size(); n > 0; --n) {
    const RowImage found = group.added[n - 1];
    if (!same(found, row, true)) continue;
    const bool same_moment = found.change->transaction == change.transaction && !shape_.intermediate;
    if (shape_.history && !same_moment) versions_.push_back({found, &change});
    group.added.erase(group.added.begin() + static_cast<std::ptrdiff_t>(n - 1));
    return;
  }
  if (truncated_by_ != nullptr && contradiction_ == nullptr) contradiction_ = &change;
  group.removed.push_back(&change);
}

void MultisetFold::truncate(const Change& change) {
  for (Group& group : groups_) {
    for (const RowImage& row : group.added) {
      const bool same_moment = row.change->transaction == change.transaction && !shape_.intermediate;
      if (shape_.history && !same_moment) versions_.push_back({row, &change});
    }
    group.added.clear();
    // What went before the truncate went for good; a history needs to know when.
    if (!shape_.history) group.removed.clear();
  }
  if (truncated_by_ == nullptr) truncated_by_ = &change;
}

}  // namespace tailrace::duckdb
