#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <unordered_set>

#include "base/lsn.h"
#include "sinks/duckdb/handle.h"

namespace tailrace::duckdb {

/// What DuckDB may use. It reads and writes columns 2,048 values at a time and cannot do with less, so a transaction of
/// many wide rows may need more than the user gave, although every row of it fits: such work is then done with a raised
/// limit, since it would otherwise be tried for ever. So it is with a transaction over very many tables, of which it is
/// known beforehand. Owned by the sink; watch() on any thread, the rest on the sink's.
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

  /// A table is written to, for which DuckDB holds `bytes` (see memory_of_written_table) until the next checkpoint.
  void hold(Oid table, std::uint64_t bytes) {
    if (written_.insert(table).second) held_ += bytes;
  }
  std::uint64_t held() const { return held_; }
  std::size_t written_tables() const { return written_.size(); }
  /// So much is held that a checkpoint is worth its time.
  bool crowded() const { return held_ > limit_ / 2; }
  /// How many times the user's limit lets DuckDB hold it and work, when that is more than it has; else 0.
  std::uint64_t factor_needed() const {
    const std::uint64_t needed = 1 + (held_ + limit_ - 1) / limit_;
    return crowded() && needed > factor_ ? needed : 0;
  }
  static bool allowed(std::uint64_t factor) { return factor <= kMostForTables; }
  /// How many times the user's limit would have to be for what is held to be allowed.
  std::uint64_t times_missing() const { return 1 + held_ / ((kMostForTables - 1) * limit_); }
  /// Gives the limit in bytes. REQUIRES: allowed.
  std::uint64_t raise(std::uint64_t factor) {
    factor_ = factor;
    return limit_ * factor;
  }
  /// After a checkpoint, or with another file: nothing is held.
  void released() {
    written_.clear();
    held_ = 0;
  }

 private:
  // What DuckDB needs for wide rows is tried out; what it needs for tables is known, and not more is given.
  static constexpr std::uint64_t kMost = 8;
  static constexpr std::uint64_t kMostForTables = 16;

  const std::uint64_t limit_;
  std::uint64_t factor_ = 1;
  std::uint64_t held_ = 0;
  std::unordered_set<Oid> written_;
  std::atomic<bool> short_{false};
};

}  // namespace tailrace::duckdb
