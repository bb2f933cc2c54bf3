#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/table_patterns.h"
#include "base/time.h"
#include "journal/reader.h"
#include "parity/expectation.h"
#include "sinks/comparison.h"
#include "sources/comparison.h"

namespace tailrace::parity {

/// What a comparison needs of the pipeline that runs beside it. Any thread.
class Follower {
 public:
  virtual ~Follower() = default;
  /// Returns once the target holds everything up to `lsn`. Throws TimeoutError TR221 when that takes too long.
  virtual void pass(Lsn lsn) = 0;
  /// The log's durable end now.
  virtual Cursor log_end() = 0;
  virtual std::unique_ptr<journal::Reader> log_from(const Cursor& cursor) = 0;
  /// Makes the sink mend rows at the first place past `fence`: it asks for them there (`rows_at`, on its own thread),
  /// and makes them durable. Gives how many were wrong. Throws TimeoutError TR221 as pass() does.
  virtual std::uint64_t mend(const RelationPtr& relation, Lsn fence,
                             std::function<std::vector<sinks::ExpectedRow>(const Position&)> rows_at) = 0;
  /// Whether changes of that table are dead letters of the sink.
  virtual bool has_letters(const std::string& schema, const std::string& table) = 0;
};

struct Difference {
  sinks::Verdict verdict = sinks::Verdict::kEqual;
  /// A tuple of the relation's match_key() columns.
  std::string key;
};

/// What the comparison of one table gave.
struct TableReport {
  enum class State { kEqual, kDiffers, kUndecided, kSkipped };

  RelationPtr relation;
  State state = State::kEqual;
  /// Why it is undecided or skipped.
  std::string reason;
  /// At the source.
  std::uint64_t rows = 0;
  std::uint64_t ranges = 0;
  /// Keys whose hashes differed, so that their rows were read; most had changed between the two looks.
  std::uint64_t suspects = 0;
  std::uint64_t undecided = 0;
  /// Tables without key: at least so many rows differ.
  std::uint64_t keyless_differences = 0;
  /// Rows that were put right; `differences` are those that remain.
  std::uint64_t repaired = 0;
  std::vector<Difference> differences;
};

struct VerifyOptions {
  /// TablePatterns; empty: every table.
  std::vector<std::string> tables;
  /// Rows of a range: one short transaction at the source.
  std::uint64_t range_rows = 500'000;
  /// 0: as fast as it goes.
  std::uint64_t rows_per_second = 0;
  /// How long old transactions of the source are waited for before a difference stays undecided.
  std::chrono::milliseconds patience{10'000};
  /// Mend the rows that differ.
  bool repair = false;
};

/// Proves that source and target hold the same rows (docs/parity.md): hashes find suspects, fenced reads judge them.
/// Made for one run; one thread, whose references outlive it.
class Verifier {
 public:
  Verifier(sources::Comparison& source, sinks::Comparison& target, Follower& follower, VerifyOptions options,
           std::stop_token stop)
      : source_(source), target_(target), follower_(follower), options_(std::move(options)), stop_(std::move(stop)) {}

  /// `done` is called with each table's report as soon as it is there. Throws what the sides throw; RetryError TR703
  /// when stopped.
  std::vector<TableReport> run(const std::function<void(const TableReport&)>& done);
  /// Where the last fence stood.
  Lsn fence() const { return fence_; }

 private:
  /// A place of the log, and the transactions that may have ended below it and still be invisible to a read.
  struct Start {
    Cursor cursor;
    std::vector<Xid> unsettled;
  };

  /// Why the target's table cannot be compared; empty when it can.
  std::string obstacle_of(const Relation& relation);
  TableReport compare(const sources::TableToCompare& table);
  void compare_ranges(const sources::TableToCompare& table, TableReport& report);
  void compare_range(const sources::TableToCompare& table, const KeyRange& range, TableReport& report);
  void compare_keyless(const sources::TableToCompare& table, TableReport& report);
  std::vector<std::string> find_suspects(const sources::TableToCompare& table, const KeyRange& range,
                                         const std::vector<std::size_t>& buckets);
  void judge(const sources::TableToCompare& table, const std::vector<std::string>& suspects, TableReport& report);
  void judge_lot(const sources::TableToCompare& table, const std::vector<std::string>& keys, TableReport& report);
  void repair(const sources::TableToCompare& table, TableReport& report);
  void repair_lot(const sources::TableToCompare& table, const std::vector<std::string>& keys, TableReport& report);
  /// A read of the keys, and the place of the log from which on changes may have to be added to it.
  std::pair<Start, FencedRows> read_settled(const sources::TableToCompare& table, const std::vector<std::string>& keys);
  Start start();
  /// Whether all that ended below `start` is visible in the snapshot.
  static bool settled(Start& start, const SnapshotXids& snapshot);
  void fold(Expectation& expectation, const Cursor& from, const Position& until);
  std::unique_ptr<sinks::Look> look_behind(Lsn fence);
  void check_stop() const;
  void rest(std::uint64_t rows, SteadyClock::time_point since) const;

  sources::Comparison& source_;
  sinks::Comparison& target_;
  Follower& follower_;
  const VerifyOptions options_;
  const std::stop_token stop_;
  Lsn fence_;
};

}  // namespace tailrace::parity
