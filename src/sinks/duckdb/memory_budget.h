#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "sinks/duckdb/handle.h"

namespace tailrace::duckdb {

/// What DuckDB may use. It reads and writes columns 2,048 values at a time and cannot do with less, so a transaction of
/// many wide rows may need more than the user gave, although every row of it fits: such work is then done with a raised
/// limit, since it would otherwise be tried for ever. Owned by the sink; watch() on any thread, the rest on the sink's.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t limit) : limit_(limit) {}

  /// The bytes of a row that can still be written and rewritten within the limit, whatever else is there. Larger ones
  /// are dead letters. Does not depend on what was raised, so that a replay decides alike.
  std::uint64_t longest_row() const { return limit_ / 4; }

  /// Does what `call` does, and remembers it when DuckDB had too little memory for it.
  template <typename Call>
  decltype(auto) watch(Call call) {
    try {
      return call();
    } catch (const OutOfMemory&) {
      short_ = true;
      throw;
    }
  }

  /// The limit for opening the file again: twice the last one when that was too little, up to eight times the user's.
  std::uint64_t next() {
    if (short_.exchange(false)) factor_ = std::min(2 * factor_, kMost);
    return limit_ * factor_;
  }
  bool raised() const { return factor_ > 1; }
  std::uint64_t given() const { return limit_; }
  void restored() { factor_ = 1; }

 private:
  static constexpr std::uint64_t kMost = 8;

  const std::uint64_t limit_;
  std::uint64_t factor_ = 1;
  std::atomic<bool> short_{false};
};

}  // namespace tailrace::duckdb
