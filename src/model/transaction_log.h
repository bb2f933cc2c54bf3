#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "model/position.h"
#include "model/relation.h"

namespace tailrace {

/// What the source knows of a commit.
struct CommitRecord {
  Lsn commit_lsn;
  Lsn end_lsn;
  Xid xid;
  PgTime commit_time;
  /// Name of the replication origin; empty when the transaction is the server's own.
  std::string origin;
};

/// A commit that the log already holds, for comparing with what the server sends again.
struct LoggedCommit {
  Lsn end_lsn;
  Xid xid;
  PgTime commit_time;
  std::uint64_t changes = 0;
};

/// Turns a raw Relation message ('R', without sub-xid) into a complete Relation with the catalog's help.
using RelationResolver = std::function<RelationPtr(ByteView relation_message)>;

/// The messages of one transaction still in progress, as streamed; owned by the source. Destroying it removes every
/// trace, unless the log has adopted it. It must not outlive its log. Source thread only.
class Spill {
 public:
  virtual ~Spill() = default;
  /// One message (R, Y, I, U, D, T, M) without its sub-xid field, which is given apart.
  virtual void append(Xid sub_xid, ByteView message) = 0;
  /// All messages of that sub-transaction, its R and Y included, are void.
  virtual void abort(Xid sub_xid) = 0;
  virtual std::uint64_t bytes() const = 0;
};

/// The log as the source sees it: takes whole transactions in commit order and makes them durable.
/// One source thread calls it. A transaction exists from the moment its commit() or adopt() is durable, never before.
/// All writing calls throw RetryError when the disk is full (nothing is lost, the source waits) and CorruptionError
/// when the device failed (the log then needs to be opened again).
class TransactionLog {
 public:
  virtual ~TransactionLog() = default;

  /// End of the last unit that was appended (whether durable yet or not); where the source goes on.
  /// Epoch is that of the current history; commit_end is 0 in a new log.
  virtual Position end() const = 0;
  /// The last progress or commit end that is durable: what PostgreSQL may be told.
  virtual Lsn durable_end() const = 0;

  /// Where a message may lie that is too long for memory, while it comes and is given to the log.
  virtual std::filesystem::path scratch_directory() const = 0;

  /// A transaction's messages begin. A transaction begun before and not committed is void (its connection was lost).
  virtual void begin(Xid xid) = 0;
  /// From here on the relation's oid means this version.
  virtual void relation(const RelationPtr& relation) = 0;
  /// One change message (I, U, D, T, M) verbatim, without sub-xid. REQUIRES: relation() was called for what it names.
  virtual void append(ByteView message) = 0;
  /// The transaction begun last is complete.
  virtual Position commit(const CommitRecord& record) = 0;

  virtual std::unique_ptr<Spill> open_spill(Xid top_xid) = 0;
  /// The spilled transaction is committed and takes its place in the log now, without its aborted parts. Relation
  /// messages that survive are resolved in stream order; what they say then holds for later append() calls too.
  /// The spill is only to be destroyed afterwards. After an exception nothing has happened and the same call may be
  /// made again.
  virtual Position adopt(Spill& spill, const CommitRecord& record, const RelationResolver& resolver) = 0;

  /// A non-transactional logical message, a unit of its own; `end` is the end of its record.
  virtual Position message(Lsn end, ByteView message) = 0;
  /// What these tables are at `end`, below which everything has come: a unit of its own that the server does not know
  /// of. What it says holds for later append() calls too.
  virtual Position describe(Lsn end, const std::vector<RelationPtr>& relations) = 0;
  /// The source has nothing for us below `end`, though no transaction ended there.
  virtual void progress(Lsn end) = 0;
  /// What was committed behind the last unit and ended at or below `from` will never come, and that is accepted: from
  /// here on units belong to the next epoch and end above `from`. What was begun is void. Durable on return.
  virtual Position raise_epoch(Lsn from) = 0;

  /// Whether something appended waits to be made durable, and how many bytes.
  virtual std::uint64_t unsynced_bytes() const = 0;
  /// Makes durable what was appended, hands it to readers, and gives what may be acknowledged (= durable_end()).
  virtual Lsn sync() = 0;

  /// The commit that ended at `end`, if it is among the last ones the log remembers.
  virtual std::optional<LoggedCommit> find_commit(Lsn end) const = 0;
  /// End of the n-th last remembered commit (the oldest remembered when there are fewer); 0 in an empty log.
  virtual Lsn nth_last_commit(std::size_t n) const = 0;
};

}  // namespace tailrace
