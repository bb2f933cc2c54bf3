#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/lsn.h"
#include "base/time.h"
#include "model/page_range.h"
#include "model/relation.h"
#include "model/snapshot.h"
#include "sources/finding.h"

namespace tailrace::sources {

/// What a source is doing.
enum class SourceState : std::uint8_t {
  kIdle,
  kConnecting,
  kStreaming,
  /// The slot is still in use by another connection.
  kWaitingForSlot,
  /// The connection was lost or refused for now; the next attempt is due.
  kWaitingToReconnect,
  /// The log takes nothing for now (its disk or its size limit); reading waits, nothing is lost.
  kLogFull,
  kStopped,
  kFailed,
};
/// "streaming", "log_full" …: for status and metrics.
const char* name_of(SourceState state);

/// What is wrong at the source for now, and what mends it.
struct SourceProblem {
  std::string code;
  std::string what;
  std::string remedy;
};

/// One look at the source. A value; fields that were never learnt are 0 or empty.
struct SourceStatus {
  SourceState state = SourceState::kIdle;
  /// The server's end of WAL as last heard of.
  Lsn server_lsn;
  /// End of the last unit handed to the log.
  Lsn received_lsn;
  /// What PostgreSQL was told to be durable here.
  Lsn confirmed_lsn;
  /// server_lsn - confirmed_lsn; never negative.
  std::uint64_t lag_bytes = 0;
  /// Commit time of the last transaction, by the server's clock.
  PgTime last_commit_time;
  std::string slot;
  /// Made at the server in this run, or in one that was broken off while it began.
  bool made_slot = false;
  bool made_publication = false;
  /// "reserved", "extended", "unreserved", "lost".
  std::string wal_status;
  /// Bytes of WAL that may still be written before the slot is in danger; nothing when there is no limit.
  std::optional<std::int64_t> safe_wal_bytes;
  /// How far clean-up at the source is held back, in its transactions: by the slot, and by copies and comparisons.
  std::int64_t slot_age = 0;
  std::int64_t snapshot_age = 0;
  /// As server_version_num: 150018.
  int server_version = 0;
  std::string server_version_text;
  std::uint64_t system_identifier = 0;
  std::uint64_t transactions = 0;
  std::uint64_t changes = 0;
  std::uint64_t bytes = 0;
  std::uint64_t reconnects = 0;
  /// Streamed transactions still in progress, and what they hold.
  std::uint64_t open_spills = 0;
  std::uint64_t spilled_bytes = 0;
  std::vector<SourceProblem> problems;
};

/// Takes the rows of one reader of a copy. Made for and used by that reader's thread alone.
class RowReceiver {
 public:
  virtual ~RowReceiver() = default;
  /// About 1 MiB of rows; the buffer may be taken out of `rows`.
  virtual void take(CopiedRows& rows) = 0;
  /// All rows of these pages were taken.
  virtual void range_done(const PageRange& range) { static_cast<void>(range); }
  /// No rows of this reader follow; what was taken is to be in the target on return.
  virtual void finish() = 0;
};

/// A table as the copy's snapshot shows it.
struct TableToCopy {
  RelationPtr relation;
  /// Of the statistics: 0 when the table was never analysed.
  double estimated_rows = 0;
  std::uint64_t pages = 0;
  /// The publication's row filter as SQL; empty when there is none.
  std::string row_filter;
  /// A partitioned table that is published as one (publish_via_partition_root): read whole, with its partitions.
  bool partitioned = false;
  /// Whether a copy that was broken off may go on in the middle of it (docs/copy-and-fence.md).
  bool resumable = false;
  /// What the user wants of it besides, as SQL; empty: all of it. Source::check_condition() found nothing against it.
  std::string where;
  /// Pages that are not to be read, since the target has their rows.
  std::vector<PageRange> done;
};

/// How far the copy of one table has come. Written by its readers, read by any thread.
struct CopyProgress {
  std::atomic<std::uint64_t> rows{0};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> pages_done{0};
  /// Readers wait at the moment, since the server has more work than the configuration allows.
  std::atomic<bool> waits_for_server{false};
};

/// A copy of tables under one snapshot of the source; destroying it lets the snapshot go. One thread calls it.
class Copy {
 public:
  virtual ~Copy() = default;

  /// What every row of this copy contains.
  virtual const Fence& fence() const = 0;
  virtual const std::vector<TableToCopy>& tables() const = 0;

  /// Reads all rows of `table` (but those of its pages that are done) and gives them, in the stream's own tuple form,
  /// to receivers: one per reader, made and used on the reader's thread. Returns when all have finished. Throws
  /// RetryError when the table was rewritten or altered since the snapshot was taken: what was received is then to be
  /// thrown away and the table copied under a new snapshot. Throws ReconnectError when connections were lost (the same
  /// holds), and whatever a receiver throws. On a stop request it returns early: ask the token.
  virtual void copy(const TableToCopy& table, const std::function<std::unique_ptr<RowReceiver>()>& make_receiver,
                    CopyProgress& progress, std::stop_token stop) = 0;
  /// The same of the rows whose key is one of `keys` (tuples of the relation's match_key() columns in that order).
  virtual void copy_keys(const TableToCopy& table, const std::vector<std::string>& keys, RowReceiver& receiver,
                         CopyProgress& progress, std::stop_token stop) = 0;
};

/// Where changes come from. It writes them into the TransactionLog it was made with. Owned by the pipeline: prepare(),
/// then stream() on a thread of its own while begin_copy() and the copy run on another; status() and
/// request_current_end() from any thread.
class Source {
 public:
  virtual ~Source() = default;

  /// Connects, proves that this is the history the log holds, and makes at the source what streaming needs when it was
  /// never made. Waits (for the server, for running transactions) until stopped. Throws RefusedError or BadConfigError
  /// with the remedy; RetryError when the source cannot be reached for now.
  virtual void prepare(std::stop_token stop) = 0;
  /// Before prepare(): changes may be missing that the source will never give, if only the log and all targets are told
  /// of it: their place in the log is the beginning of an epoch. Without this prepare() refuses to go on.
  virtual void accept_gap() = 0;
  /// Streams until stopped, reconnecting with back-off; returns after a last acknowledgement of what is durable.
  /// Throws RefusedError for what stays refused, CorruptionError from the log.
  virtual void stream(std::stop_token stop) = 0;
  /// The tables that are wanted, for copying under one snapshot. It contains what ended at or below the log's first
  /// place, and unless it is the very first copy, all that was in the log when this was called; waits for that.
  /// `only`: when not empty, just these tables, as far as they are wanted; never the very first copy.
  virtual std::unique_ptr<Copy> begin_copy(std::stop_token stop, const std::vector<TableName>& only) = 0;
  /// The rows of `relation` whose key is one of `keys` (tuples of its match_key() columns in that order), under a fence
  /// that the stream soon passes. Any thread; ends soon after a stop request, and after a minute at the latest. Throws
  /// RetryError or ReconnectError when it is to be asked another time, RefusedError when it may not be asked.
  virtual FencedRows read_keys(const RelationPtr& relation, const std::vector<std::string>& keys,
                               std::stop_token stop) = 0;
  /// Throws BadConfigError TR642 where `where` is no condition on the table's rows that can be asked for by itself. Any
  /// thread; throws as read_keys() does.
  virtual void check_condition(const TableName& table, const std::string& where) = 0;
  virtual SourceStatus status() const = 0;
  /// The place up to which everything committed by now lies, after a nudge that makes the stream soon pass it.
  virtual Lsn request_current_end() = 0;
};

}  // namespace tailrace::sources
