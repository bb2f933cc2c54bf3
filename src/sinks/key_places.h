#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace tailrace::sinks {

/// Where the last change of each key of one table stands in a list: a hash table of one piece, whose keys lie one
/// behind the other. (With a node and a string of its own for each key, finding and freeing them took longer than all
/// else that is done to a row.) Owned by a RowUnit, used by its thread.
class KeyPlaces {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;

  /// kNone: it has none.
  std::uint32_t find(std::string_view key) const;
  /// Gives the place that it had. kNone as `place`: it has none from here on.
  std::uint32_t set(std::string_view key, std::uint32_t place);
  bool empty() const { return used_ == 0; }

  /// Calls `change(place)` with each place, which it may change.
  template <typename Change>
  void for_each(const Change& change) {
    for (Slot& slot : slots_)
      if (slot.key != nullptr && slot.place != kNone) change(slot.place);
  }

 private:
  struct Slot {
    const char* key = nullptr;
    std::uint32_t size = 0;
    std::uint32_t place = kNone;
    std::uint64_t hash = 0;
  };
  std::size_t slot_of(std::string_view key, std::uint64_t hash) const;
  void grow();
  const char* keep(std::string_view key);

  /// A power of two; more than a third is free.
  std::vector<Slot> slots_;
  std::size_t used_ = 0;
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::size_t left_in_block_ = 0;
  char* block_at_ = nullptr;
};

}  // namespace tailrace::sinks
