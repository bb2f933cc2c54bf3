#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/position.h"
#include "model/relation.h"
#include "model/tuple.h"

namespace tailrace {

/// kDescription: no change of the source, but a version of a table that the source has read without a change of its
/// rows. It has a relation and no rows.
enum class ChangeKind : std::uint8_t { kInsert, kUpdate, kDelete, kTruncate, kMessage, kDescription };

/// As dead letters and `journal cat` write it.
constexpr const char* name_of(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kInsert: return "insert";
    case ChangeKind::kUpdate: return "update";
    case ChangeKind::kDelete: return "delete";
    case ChangeKind::kTruncate: return "truncate";
    case ChangeKind::kMessage: return "message";
    case ChangeKind::kDescription: return "description";
  }
  return "";
}

/// What the old tuple of an update or delete holds: nothing, the identity's columns only (all others read 'n' and mean
/// "not sent", never null), or the full row.
enum class OldTuple : std::uint8_t { kNone, kKey, kFull };

/// One change. Its views point into the batch's buffers and live as long as the batch.
struct Change {
  ChangeKind kind = ChangeKind::kInsert;
  OldTuple old_kind = OldTuple::kNone;
  /// Truncate only: the statement's options.
  bool truncate_cascade = false;
  bool truncate_restart_identity = false;
  /// Index into ChangeBatch::transactions.
  std::uint32_t transaction = 0;
  /// Ordinal in its transaction.
  std::uint64_t ordinal = 0;
  /// The schema version this change was written under; owned by the batch. Null for kMessage.
  const Relation* relation = nullptr;
  TupleView old_row;
  TupleView new_row;
  /// kMessage only.
  ByteView message_prefix;
  ByteView message_content;
};

/// A source transaction, or (where `first_part` and `last_part` are not both set) a part of one too large to hold.
struct Transaction {
  std::uint32_t epoch = 0;
  /// The commit record's place and the end of it; Position uses the end.
  Lsn commit_lsn;
  Lsn commit_end;
  Xid xid;
  PgTime commit_time;
  /// max(commit time, the previous monotone time): what history shows.
  PgTime monotone_time;
  /// The transaction's seq0; a change's seq is seq0 + ordinal.
  Seq seq;
  /// Changes of the whole transaction, all parts together.
  std::uint64_t changes = 0;
  bool first_part = true;
  bool last_part = true;

  Position position(std::uint64_t ordinal) const { return {epoch, commit_end, ordinal}; }
  Seq change_seq(std::uint64_t ordinal) const { return Seq(seq.value() + ordinal); }
};

/// How far a reader has come in a log: everything up to and including `position` is done.
/// For whole transactions the ordinal is the count of its changes (one past the last).
struct Cursor {
  Position position;
  Seq seq;
  PgTime commit_time;

  bool operator==(const Cursor&) const = default;
};

/// An immutable run of changes in Position order: whole transactions, or one marked part of a giant. All of it is of
/// one epoch, and an epoch begins with a batch of its own, in which there is nothing: what was committed between the
/// end of the batch before and its own end is missing. Built once by the log's reader, shared by pointer across
/// threads, never changed afterwards. It keeps alive the buffers and relations its changes point into.
class ChangeBatch {
 public:
  std::vector<Transaction> transactions;
  std::vector<Change> changes;
  /// Where a reader stands after this batch, also when it holds progress only (no transactions).
  Cursor end;
  /// Bytes of the source's messages in this batch.
  std::uint64_t bytes = 0;
  /// Keeps alive what `changes` points to.
  std::vector<std::shared_ptr<const void>> buffers;
  std::vector<RelationPtr> relations;

  bool empty() const { return changes.empty() && transactions.empty(); }
  /// False while a giant's last part is still to come: a sink must not commit then.
  bool ends_transaction() const { return transactions.empty() || transactions.back().last_part; }
};

using ChangeBatchPtr = std::shared_ptr<const ChangeBatch>;

}  // namespace tailrace
