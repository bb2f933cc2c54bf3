#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "model/change_batch.h"
#include "model/position.h"
#include "model/relation.h"
#include "model/schema_change.h"
#include "model/tuple.h"
#include "sinks/local_state.h"

/// What a target has to be able to do that takes rows one by one; RowSink does the rest (docs/sinks.md).
namespace tailrace::sinks {

/// What a target keeps: the last state of each row by its key, or every change as an event.
enum class RowStyle : std::uint8_t { kState, kEvents };

struct RowTraits {
  RowStyle style = RowStyle::kState;
  /// Values that the server did not send reach the target as such (FieldKind::kUnchanged). Else rows come whole.
  bool takes_unchanged = false;
  /// A transaction larger than this is written in parts.
  std::size_t unit_changes = 50'000;
  std::size_t unit_bytes = 16U << 20;
};

/// kCopied: a row as a copy found it. kTruncate reaches targets of events only.
enum class RowOperation : std::uint8_t { kCopied, kInsert, kUpdate, kDelete, kTruncate };

/// One change on its way to a target. Its views live until the call it is given to returns.
/// Of state: kDelete has the key's columns in `old_row` (others may be null there and mean nothing), everything else
/// puts `new_row` under its key; an update that moves a row is a delete and a put. Of events: as the source sent it.
struct RowChange {
  RowOperation operation = RowOperation::kInsert;
  /// What the source did: a row that moves is an update that comes as a delete and a put.
  ChangeKind source_kind = ChangeKind::kInsert;
  OldTuple old_kind = OldTuple::kNone;
  /// The version that the rows are in: the table's at the target.
  const Relation* relation = nullptr;
  /// Of copied rows: no position, Seq 0 and the time when their copy began; the table was empty
  /// before them.
  Position position;
  Seq seq;
  Xid xid;
  PgTime commit_time;
  TupleView old_row;
  TupleView new_row;

  /// What the row is, or of one that is gone, what is known of what it was. Absent: of a truncate.
  TupleView row() const { return new_row.present() ? new_row : old_row; }
};

/// The target is well and refuses some of these rows for what is in them, and will again. `refused`: which ones, as
/// places in what was given; empty: it does not say. `written`: places of rows that were written, and are not given
/// again; of those that are in neither nobody knows, and they are.
class RowsRefused : public BadDataError {
 public:
  struct Row {
    std::size_t at;
    /// For a person; it stands in the dead letter only, not in logs.
    std::string reason;
  };
  RowsRefused(std::string code, const std::string& what, std::string remedy, std::vector<Row> refused = {},
              std::vector<std::size_t> written = {})
      : BadDataError(std::move(code), what, std::move(remedy)),
        refused_(std::move(refused)),
        written_(std::move(written)) {}
  const std::vector<Row>& refused() const { return refused_; }
  const std::vector<std::size_t>& written() const { return written_; }

 private:
  std::vector<Row> refused_;
  std::vector<std::size_t> written_;
};

/// One connection that writes. Made by RowTarget::writer(), used by one thread, destroyed before the target.
class RowWriter {
 public:
  virtual ~RowWriter() = default;
  /// Writes the changes in their order and then the state, durable on return; all of it at once where the target has
  /// transactions. Changes that come without state may be kept back: they are durable with the next state at the
  /// latest. Changes of one key never pass each other. The same changes written again have no further effect. Throws
  /// RetryError (busy, away, out of room), RefusedError (rights, a table that is gone), RowsRefused.
  virtual void write(std::span<const RowChange> changes, const StateChanges& state) = 0;
  /// Of a copy's writer, which is given no state: nothing more comes, and what it kept back belongs to the next state
  /// that any writer of the target is given.
  virtual void finish() {}
  /// Whether maintain() has something to do now, by the clock or because nothing happens. Cheap: asked often.
  virtual bool wants_maintenance() const { return false; }
  /// Between batches, in short pieces. Throws what write() may throw.
  virtual void maintain() {}
};

/// A kind of place that takes rows one by one. Owned by its RowSink; the runner's thread, but for refusal_of() and
/// writer(), which copies' readers call, too.
class RowTarget {
 public:
  virtual ~RowTarget() = default;

  virtual RowTraits traits() const = 0;
  /// Connects (again) and gives the state that is kept there; empty: nobody was here before.
  virtual StateMap open() = 0;
  /// REQUIRES: open.
  virtual std::unique_ptr<RowWriter> writer() = 0;

  /// Why the target cannot have this table, for a person; empty: it can.
  virtual std::string obstacle(const Relation& relation) const = 0;
  /// Why the target cannot take this change, known without asking it, for a person and without values; null: it can.
  virtual const char* refusal_of(const RowChange& change) const = 0;

  /// Makes a place for the table's rows; what is there of an earlier copy goes. `ours`: the sink has had the table here
  /// before; else what is there is somebody else's, and RefusedError is thrown for it.
  virtual void make_table(const Relation& relation, bool ours) = 0;
  /// All rows of the table go. Targets of state only.
  virtual void empty_table(const Relation& relation) = 0;
  /// The table is in another version from here on. Gives why the target cannot follow and its rows have to be copied
  /// anew; empty: it did. May come twice, when the process died in between.
  virtual std::string alter_table(const Relation& before, const Relation& after, const SchemaChange& change) = 0;

  /// Lets go of the connection; open() takes it back.
  virtual void release() = 0;
};

}  // namespace tailrace::sinks
