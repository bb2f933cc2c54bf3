#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "journal/reader.h"
#include "model/change_batch.h"
#include "model/transaction_log.h"

namespace tailrace::journal {

class Files;

/// How a journal is opened. A value.
struct Options {
  /// Segments and adopted files; made when missing.
  std::filesystem::path directory;
  /// Transactions in progress; emptied by open(). On the same file system as `directory`.
  std::filesystem::path spill_directory;
  /// Size of a segment file, preallocated; between 2 MiB and 2 GiB, and at most a quarter of max_bytes.
  std::uint64_t segment_bytes = 128ULL << 20;
  /// Disk space for segments, adopted files and spills together; at least 8 MiB.
  std::uint64_t max_bytes = 20ULL << 30;
  /// Memory for what was synced last, from which readers that keep up are served.
  std::uint64_t ring_bytes = 32ULL << 20;
  /// Memory for all transactions in progress together.
  std::uint64_t spill_memory = 16ULL << 20;
  /// O_DIRECT, where the file system has it.
  bool direct_io = true;
  /// Epoch of a new journal.
  std::uint32_t first_epoch = 1;
  /// How many COMMIT headers are remembered for find_commit() and nth_last_commit(), whatever is trimmed.
  std::size_t remembered_commits = 10'000;
  /// What others know to have been durable: the greatest of the sinks' cursors and of what was acknowledged to
  /// PostgreSQL. A journal that ends below it is damaged.
  std::optional<Position> known_durable;
  /// The greatest seq any sink has seen; numbering goes on above it, even in a new journal.
  Seq seq_floor;
  /// The operating system's files when null. Must outlive the journal.
  Files* files = nullptr;
};

/// One look at a journal. A value.
struct JournalStat {
  std::uint64_t segments = 0;
  /// Disk space: preallocated segments, adopted files and spills.
  std::uint64_t bytes = 0;
  std::uint64_t max_bytes = 0;
  /// Less is left than two segments need.
  bool short_of_space = false;
  std::uint64_t adopted_files = 0;
  /// Of transactions in progress, on disk and in memory.
  std::uint64_t spill_bytes = 0;
  std::uint64_t spill_memory = 0;
  std::uint64_t open_spills = 0;
  /// Oldest readable and last durable place.
  Cursor start;
  Cursor durable;
  /// Since open().
  std::uint64_t synced_bytes = 0;
  std::uint64_t syncs = 0;
};

/// The durable log of whole transactions in commit order, on local disk (docs/journal-format.md). Owned by the
/// pipeline, which also holds the lock that keeps other processes out. The functions of TransactionLog belong to the
/// source thread; everything else may be called from any thread.
class Journal : public TransactionLog {
 public:
  /// Opens or makes the journal: cuts a torn tail, removes what a crash left over. Throws CorruptionError, naming
  /// segment and offset, when acknowledged data is damaged; BadConfigError when the directories cannot be used.
  static std::unique_ptr<Journal> open(const Options& options);

  /// A reader that goes on behind `from`, or begins with the oldest unit. Throws CorruptionError when what follows
  /// `from` has been trimmed.
  virtual std::unique_ptr<Reader> reader(const std::optional<Cursor>& from) = 0;

  /// Removes the segments that lie wholly below `oldest_needed` and were finished at least `keep` ago. When the size
  /// limit is near, `keep` yields.
  virtual void set_retention(const Position& oldest_needed, std::chrono::seconds keep) = 0;

  /// The oldest place a reader can begin at.
  virtual Cursor start() const = 0;
  virtual JournalStat stat() const = 0;
};

}  // namespace tailrace::journal
