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

/// Hands the rows of one reader to the sink.
std::unique_ptr<sources::RowReceiver> receive_into(std::unique_ptr<sinks::CopyWriter> writer);

/// Copies into the sink the tables that `copied` does not name, and makes each one durable, after `store_letters` has
/// kept what the sink could not hold of it. False when stopped first. Throws what source and sink throw; tables
/// finished before stay finished.
bool copy_missing_tables(sources::Copy& copy, sinks::Sink& sink, const std::vector<CopiedTable>& copied,
                         CopyBoard& board, const std::function<void()>& store_letters, std::stop_token stop);

}  // namespace tailrace::pipeline
