#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "base/time.h"
#include "model/change_batch.h"
#include "sinks/outcomes.h"

namespace tailrace::pipeline {

/// How many changes of each kind.
struct OperationCounts {
  std::uint64_t inserts = 0;
  std::uint64_t updates = 0;
  std::uint64_t deletes = 0;
  std::uint64_t truncates = 0;
  std::uint64_t messages = 0;

  void add(ChangeKind kind);
  OperationCounts& operator+=(const OperationCounts& other);
  bool operator==(const OperationCounts&) const = default;
};

/// How long changes took from their commit at the source until they were durable and visible in the target; one
/// observation per batch, of its last transaction.
struct LagHistogram {
  /// Upper bounds in seconds; what is longer is in none of them.
  static constexpr std::array kBounds = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0};

  /// Observations up to each bound, those below it not among them.
  std::array<std::uint64_t, kBounds.size()> counts{};
  std::uint64_t total = 0;
  double seconds = 0;

  void observe(double lag);
};

/// What a sink's runner did since it was started.
struct SinkCounts {
  /// Batches made durable that had changes, those changes, and the time that applying and flushing them took.
  std::uint64_t batches = 0;
  std::uint64_t changes = 0;
  std::chrono::microseconds busy{0};
  OperationCounts operations;
  /// By "schema.table".
  std::map<std::string, OperationCounts> tables;
  /// What became of changes by table and kind, since the target was made.
  sinks::TableOutcomes outcomes;
  /// Failed attempts by where they arose: "source", "parsing", "log", "state", "target", "defect" and so on.
  std::map<std::string, std::uint64_t> errors;
  /// Changes that became dead letters since they broke a rule.
  std::uint64_t invalid = 0;
  LagHistogram lag;
  /// Changes a second made durable, over the last ten seconds.
  double throughput = 0;
};

/// Where an error arose, by the first digit of its code (docs/codes.md).
const char* category_of(const std::string& code);

/// Counts what a runner does. Owned by the runner and fed by its thread; any thread looks. Only what became durable is
/// counted, so that a batch that is tried again counts once.
class SinkMeter {
 public:
  void applied(const ChangeBatch& batch, SteadyClock::duration took);
  /// All that was applied is durable up to a commit of this time.
  void flushed(SteadyClock::duration took, PgTime commit_time);
  /// What was applied and not flushed is gone.
  void rolled_back();
  void failed(const std::string& code);
  void found_invalid(std::uint64_t changes);

  SinkCounts look() const;

 private:
  /// One more than is looked at: the second under way is not over.
  static constexpr std::size_t kSeconds = 11;
  struct Second {
    std::int64_t number = -1;
    std::uint64_t changes = 0;
  };
  static std::int64_t second_now();

  // Of the runner's thread: not durable yet.
  std::uint64_t open_changes_ = 0;
  std::chrono::microseconds open_busy_{0};
  std::map<std::string, OperationCounts> open_tables_;
  OperationCounts open_operations_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  SinkCounts counts_;
  std::array<Second, kSeconds> seconds_{};
  const std::int64_t first_second_ = second_now();
};

}  // namespace tailrace::pipeline
