#include "sinks/key_places.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

namespace tailrace::sinks {
namespace {

constexpr std::size_t kFirstSlots = 64;
constexpr std::size_t kBlock = 64U << 10;

std::uint64_t hash_of(std::string_view key) { return std::hash<std::string_view>()(key); }

}  // namespace

std::size_t KeyPlaces::slot_of(std::string_view key, std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.key == nullptr) return at;
    if (slot.hash == hash && std::string_view(slot.key, slot.size) == key) return at;
  }
}

std::uint32_t KeyPlaces::find(std::string_view key) const {
  return slots_.empty() ? kNone : slots_[slot_of(key, hash_of(key))].place;
}

std::uint32_t KeyPlaces::set(std::string_view key, std::uint32_t place) {
  if (slots_.size() * 2 <= used_ * 3) grow();
  const std::uint64_t hash = hash_of(key);
  Slot& slot = slots_[slot_of(key, hash)];
  if (slot.key == nullptr) {
    slot.key = keep(key);
    slot.size = static_cast<std::uint32_t>(key.size());
    slot.hash = hash;
    ++used_;
  }
  return std::exchange(slot.place, place);
}

void KeyPlaces::grow() {
  std::vector<Slot> before(std::max(kFirstSlots, slots_.size() * 2));
  before.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const Slot& slot : before) {
    if (slot.key == nullptr) continue;
    std::size_t at = slot.hash & mask;
    while (slots_[at].key != nullptr) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

const char* KeyPlaces::keep(std::string_view key) {
  if (key.size() > left_in_block_) {
    const std::size_t size = std::max(kBlock, key.size());
    blocks_.push_back(std::make_unique<char[]>(size));
    block_at_ = blocks_.back().get();
    left_in_block_ = size;
  }
  // An empty key has a place of its own, too: it is told from no key by not being null.
  const char* const kept = block_at_;
  std::memcpy(block_at_, key.data(), key.size());
  block_at_ += key.size();
  left_in_block_ -= key.size();
  return kept;
}

}  // namespace tailrace::sinks
