#pragma once

#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/time.h"
#include "pipeline/status.h"
#include "sinks/sink.h"
#include "sources/source.h"

namespace tailrace::pipeline {

/// How far the tables of one sink's copy are. Written by the copying thread, read by any.
class CopyBoard {
 public:
  explicit CopyBoard(std::string sink) : sink_(std::move(sink)) {}

  /// Forgets the tables of an attempt before.
  void clear();
  void add_done(const std::string& table, std::uint64_t rows);
  /// The result lives until the table is forgotten and takes the readers' counts.
  sources::CopyProgress& add(const std::string& table, double estimated_rows, std::uint64_t pages);
  void finish(const sources::CopyProgress& progress);
  /// The table is copied again. REQUIRES: nobody writes its progress.
  void forget(const std::string& table);
  std::vector<CopyStatus> look();

 private:
  struct Row;
  static void add_pace(Row& row, CopyStatus& status);

  struct Row {
    std::string table;
    double estimated_rows = 0;
    std::uint64_t pages = 0;
    bool done = false;
    /// When its first rows were seen, by look().
    std::optional<SteadyClock::time_point> began;
    sources::CopyProgress progress;
  };

  const std::string sink_;
  mutable std::mutex mutex_;
  std::list<Row> rows_;  // guarded by mutex_, but for the progress in them
};

/// Hands the rows of one reader to the sink. `fence`: not null where the sink is to learn which pages are done, under
/// this fence; outlives the receiver.
std::unique_ptr<sources::RowReceiver> receive_into(std::unique_ptr<sinks::CopyWriter> writer,
                                                   const Fence* fence = nullptr);

/// What copying the missing tables needs of the sink's runner. Called on its thread.
struct CopyHelp {
  /// Keeps what the sink could not hold of a table.
  std::function<void()> store_letters;
  /// Gives all that the log has up to `until`, once it is there, to `see`, until that says no. False when it did, or
  /// when the log does not come to that place in time.
  std::function<bool(Lsn until, const std::function<bool(const ChangeBatch& batch)>& see)> read_log;
};

/// Copies into the sink the tables that `there` does not name as copied, and makes each one durable. Those of which it
/// has a part go on from there where they can. False when stopped first. Throws what source and sink throw; tables
/// finished before stay finished.
bool copy_missing_tables(sources::Copy& copy, sinks::Sink& sink, const sinks::SinkState& there, CopyBoard& board,
                         const CopyHelp& help, const std::stop_token& stop);

}  // namespace tailrace::pipeline
