#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "model/change_batch.h"

/// What became of the changes a sink received, by table and by kind of change.
namespace tailrace::sinks {

/// What became of the changes a sink received since its target was made; kept with the cursor.
/// received = applied + filtered + dead_lettered + held.
struct Counters {
  std::uint64_t received = 0;
  std::uint64_t applied = 0;
  std::uint64_t filtered = 0;
  std::uint64_t dead_lettered = 0;
  std::uint64_t held = 0;

  bool operator==(const Counters&) const = default;
};

enum class Outcome : std::uint8_t { kApplied, kFiltered, kDeadLettered, kHeld };
inline constexpr std::array kOutcomes = {Outcome::kApplied, Outcome::kFiltered, Outcome::kDeadLettered, Outcome::kHeld};
/// As the metrics name it.
const char* name_of(Outcome outcome);
std::uint64_t& count_of(Counters& counters, Outcome outcome);
std::uint64_t count_of(const Counters& counters, Outcome outcome);

/// How many changes of each kind came to each outcome. A value; differences of two may be below zero.
class OutcomeCounts {
 public:
  /// insert, update, delete, truncate, message, and "unknown": counted before kinds were told apart.
  static constexpr std::size_t kOperations = 6;
  static constexpr std::size_t kUnknown = kOperations - 1;
  static const char* operation_name(std::size_t operation);

  /// Descriptions are no changes.
  void add(ChangeKind kind, Outcome outcome) {
    if (kind != ChangeKind::kDescription) ++counts_[static_cast<std::size_t>(kind)][static_cast<std::size_t>(outcome)];
  }
  /// What was taken back before anybody saw it. REQUIRES: it was added.
  void remove(ChangeKind kind, Outcome outcome) {
    --counts_[static_cast<std::size_t>(kind)][static_cast<std::size_t>(outcome)];
  }
  /// A change that was counted as `from` is `to`. Where none of its kind is left in `from`, since the row's change was
  /// of another kind, it is taken from a kind that has one.
  void move(ChangeKind kind, Outcome from, Outcome to);
  void set(std::size_t operation, Outcome outcome, std::int64_t changes) {
    counts_[operation][static_cast<std::size_t>(outcome)] = changes;
  }
  std::int64_t of(std::size_t operation, Outcome outcome) const {
    return counts_[operation][static_cast<std::size_t>(outcome)];
  }
  std::int64_t total(Outcome outcome) const;
  OutcomeCounts& operator+=(const OutcomeCounts& other);
  OutcomeCounts& operator-=(const OutcomeCounts& other);
  bool operator==(const OutcomeCounts&) const = default;

 private:
  std::array<std::array<std::int64_t, kOutcomes.size()>, kOperations> counts_{};
};

/// By "schema.table" as the table was called then; messages, which belong to none, under "".
using TableOutcomes = std::map<std::string, OutcomeCounts>;

/// A sink's own book of what became of its changes. Owned by the sink, used by its thread.
class Outcomes {
 public:
  /// What the target keeps. What `totals` have beyond it was counted before tables were told apart.
  void open(TableOutcomes kept, const Counters& totals);
  /// To be counted in. Stays until the next open().
  OutcomeCounts& of(const std::string& table);
  const TableOutcomes& all() const { return all_; }
  /// What of() was asked for since the last settle(), as it was before.
  const TableOutcomes& before() const { return before_; }
  /// All of it is durable.
  void settle();
  /// All that is durable after open(), then what has changed since the last call.
  TableOutcomes take() { return std::exchange(settled_, {}); }

 private:
  TableOutcomes all_;
  TableOutcomes before_;
  TableOutcomes settled_;
};

}  // namespace tailrace::sinks
