#pragma once

#include <cstdint>
#include <vector>

#include "sinks/duckdb/key.h"
#include "sinks/duckdb/row_image.h"
#include "sinks/duckdb/table_shape.h"
#include "sinks/duckdb/types.h"

namespace tailrace::duckdb {

/// What one batch makes of the rows of a table that has a match key: per key only the end state, and, for history, the
/// versions between. Its views point into the batch. Made per batch, used by the sink's thread.
///
/// As long as only inserts came, they are merely listed: a batch of inserts touches no key at all.
class KeyedFold {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;

  /// One key that the batch touched.
  struct Slot {
    ByteView key;
    std::uint64_t hash = 0;
    /// The row at the end of what was folded; meaningful when `present`.
    RowImage image;
    /// The slot whose row in the target supplies the values that `image` has as unchanged; kNone: nobody knows them.
    std::uint32_t base = kNone;
    /// History: the change that touched the key last, and which version was open before that change's transaction.
    const Change* last = nullptr;
    std::uint32_t open = kNone;
    /// The target has a row of this key from before the batch.
    bool existed = false;
    bool present = false;
  };
  /// A version that a transaction of this batch ended, or that is open at its end.
  struct Version {
    RowImage image;
    std::uint32_t base = kNone;
    const Change* ended_by = nullptr;
  };
  /// A version that was open in the target before the batch and ends in it.
  struct Ending {
    std::uint32_t slot = kNone;
    const Change* ended_by = nullptr;
  };

  explicit KeyedFold(const TableShape& shape) : shape_(shape) {}

  /// `absent`: the target lacks the row though the source has it. Keys must live as long as the batch (see read_key).
  void insert(const Change& change, ByteView key);
  void update(const Change& change, ByteView old_key, ByteView new_key, bool absent);
  void remove(const Change& change, ByteView old_key, bool absent);
  void truncate(const Change& change);
  /// An insert whose key nobody has asked for yet.
  void insert_unseen(const Change& change) { unseen_.push_back(&change); }

  /// The change cannot be folded by a key at all.
  void contradict(const Change& change) {
    if (contradiction_ == nullptr) contradiction_ = &change;
  }

  bool only_inserts() const { return slots_.empty() && truncated_by_ == nullptr; }
  bool empty() const { return only_inserts() && unseen_.empty(); }
  /// The first change that cannot follow on those before it: a row inserted that is there, or changed that is not, or
  /// that was another when all of it is told.
  const Change* contradiction() const { return contradiction_; }
  /// The listed inserts; the caller moves them in by insert() before the first other change.
  std::vector<const Change*> take_unseen() { return std::move(unseen_); }
  const std::vector<const Change*>& unseen() const { return unseen_; }

  /// Ends the history of what is open. Call once, before reading the results.
  void settle();
  const std::vector<Slot>& slots() const { return slots_; }
  const std::vector<Version>& versions() const { return versions_; }
  const std::vector<Ending>& endings() const { return endings_; }
  /// The first truncate of the batch, if there was one: nothing of the target's rows remains.
  const Change* truncated_by() const { return truncated_by_; }
  Arena& arena() { return arena_; }

 private:
  // Slot::open, besides an index into versions_.
  static constexpr std::uint32_t kInTarget = 0xfffffffe;

  std::uint32_t find(ByteView key, std::uint64_t hash) const;
  std::uint32_t slot_of(ByteView key);
  /// The slot of a row that the source had just before the change.
  std::uint32_t present_slot(const Change& change, ByteView key, bool absent);
  void grow();
  void touch(std::uint32_t slot, const Change& change);

  const TableShape& shape_;
  std::vector<const Change*> unseen_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> index_;  // open addressing; kNone is empty
  std::vector<Version> versions_;
  std::vector<Ending> endings_;
  const Change* truncated_by_ = nullptr;
  std::size_t first_after_truncate_ = 0;
  const Change* contradiction_ = nullptr;
  Arena arena_;
};

/// The row after `change`: its own tuple, completed from the message's full old row and from `before` (may be empty).
/// Fields that none of them has stay "unchanged".
RowImage complete_row(const Change& change, const RowImage& before, std::size_t width, Arena& arena);

}  // namespace tailrace::duckdb
