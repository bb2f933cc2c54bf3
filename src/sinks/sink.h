#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/change_batch.h"
#include "model/page_range.h"
#include "model/snapshot.h"
#include "sinks/comparison.h"
#include "sinks/damaged_target.h"
#include "sinks/outcomes.h"

namespace tailrace::sinks {

/// A change the target cannot hold, kept whole. Its rows are never shown in logs.
struct DeadLetter {
  Position position;
  Seq seq;
  Xid xid;
  /// When its transaction was committed, never before the one before it; of a copied row: not set.
  PgTime committed;
  /// The version of the table that its rows are written in.
  RelationPtr relation;
  std::string operation;
  std::string reason;
  /// The pgoutput tuples as they came; empty: absent. They live as long as `held`: a row that was too large for the
  /// target is not copied again on its way into the store.
  ByteView old_row;
  ByteView new_row;
  std::vector<std::shared_ptr<const void>> held;

  /// Takes copies of the rows.
  void keep(ByteView old_tuple, ByteView new_tuple) {
    auto bytes = std::make_shared<std::string>();
    bytes->reserve(old_tuple.size() + new_tuple.size());
    bytes->append(old_tuple).append(new_tuple);
    old_row = ByteView(*bytes).substr(0, old_tuple.size());
    new_row = ByteView(*bytes).substr(old_tuple.size());
    held = {std::move(bytes)};
  }
};

/// Whether the target holds what it received of a table. kForNow: it lacks some, which comes by itself. kUntilDecided:
/// until somebody does something.
enum class Lack : std::uint8_t { kNone, kForNow, kUntilDecided };

/// Something about one table or the target that a user should know of, with what mends it.
struct SinkProblem {
  std::string code;
  std::string table;
  std::string what;
  std::string remedy;
  /// Of the whole table; not of single rows.
  Lack lack = Lack::kNone;
};

/// Rows that the target lacks because a value of theirs is known to nobody here.
struct IncompleteRows {
  RelationPtr relation;
  /// Tuples of the relation's match_key() columns in that order.
  std::vector<std::string> keys;
};

/// What became of a damaged target.
struct SetAside {
  /// The name it is kept under.
  std::string kept;
  /// What takes its place, as the end of a sentence.
  std::string instead;
};

/// A table whose copy was broken off in the middle of it.
struct PartialCopy {
  RelationPtr relation;
  /// Under which the rows that are there were read.
  Fence fence;
  /// Pages whose rows are there.
  std::vector<PageRange> done;
  std::uint64_t rows = 0;
};

/// What the target held when it was opened.
struct SinkState {
  /// Nothing: the target is new, everything has to be copied first.
  std::optional<Cursor> cursor;
  /// Without a cursor: the copied tables are at this one, the others are to be copied, and the stream goes on from
  /// here.
  std::optional<Cursor> resume = {};
  Counters counters;
  /// Tables whose copy is complete (or that were empty), each with the snapshot that copied it.
  std::vector<CopiedTable> copied;
  /// Tables with some of their rows, which resumed_copy() takes further.
  std::vector<PartialCopy> partial = {};
};

/// Takes the rows of one table's copy from one reader. Made by Sink::open_copy, used by the one thread of that
/// reader, destroyed before the sink. Several may write into the same table at once.
class CopyWriter {
 public:
  virtual ~CopyWriter() = default;
  /// Rows as pgoutput tuples, one after the other, in `rows.bytes()`. What the target cannot hold becomes a dead letter
  /// of the sink, never an error.
  virtual void append(const CopiedRows& rows) = 0;
  /// The rows given since the last call are all that the pages have under `fence`. The sink may make them durable
  /// together with this, so that a copy that is broken off goes on behind them.
  virtual void range_done(const PageRange& range, const Fence& fence) {
    static_cast<void>(range);
    static_cast<void>(fence);
  }
  /// All rows given so far are in the target, though not yet counted as copied.
  virtual void finish() = 0;
};

/// Makes a writer on the thread of the reader that uses it.
using WriterFactory = std::function<std::unique_ptr<CopyWriter>()>;

/// Where the rows of a table's copy beside the stream go. Called by the copy's threads.
struct SidePlace {
  WriterFactory make_writer;
  /// Of a copy in part, once all of its rows are there: the keys for which the condition holds in the target and that
  /// were not copied (tuples of the match_key() columns). What the source has of them is to be copied, too. Null for a
  /// whole copy.
  std::function<std::vector<std::string>()> suspects;
};

/// Schema and name.
using TableName = std::pair<std::string, std::string>;

/// How a table's copy that was broken off goes on under a younger snapshot (docs/copy-and-fence.md, "A copy that was
/// interrupted"). Part of the sink and used by its thread.
class ResumedCopy {
 public:
  virtual ~ResumedCopy() = default;

  /// REQUIRES: `partial` is of SinkState::partial, not yet begun otherwise; `now` was taken after its fence.
  virtual void begin(const PartialCopy& partial, const Fence& now) = 0;
  /// Notes the keys of the changes in this batch that `now` contains and the partial copy does not. False when the
  /// copy is void.
  virtual bool see(const ChangeBatch& batch) = 0;
  /// All of the log up to the end of `now` was seen: the rows of the keys that were noted go, and what stays is as of
  /// `now`, durable on return.
  virtual void settle() = 0;
  /// As if it had not been begun.
  virtual void drop() = 0;
  /// Some of the keys that were noted of this table, then or at an earlier time, and have no row: tuples of the
  /// match_key() columns. Other ones each time; empty when there are no more. REQUIRES: all pages are done.
  virtual std::vector<std::string> unread_keys(const RelationPtr& table) = 0;
};

/// How one table of a running sink is copied (again) while the stream goes on for all, that table included
/// (docs/copy-and-fence.md). Part of the sink and used by its thread; its copy is void once the sink is opened again or
/// released.
class SideCopy {
 public:
  virtual ~SideCopy() = default;

  /// Tables that take no changes because they were never copied.
  virtual std::vector<TableName> wanted() const = 0;
  /// Makes a place for the table's rows that nobody looks at; what an earlier copy left there goes. Throws RefusedError
  /// or BadConfigError, with nothing done, when the target cannot have the table. The writers end before the copy does.
  /// `where`: not empty for a copy in part, of the rows for which that condition holds; throws RefusedError TR644 where
  /// the table is none of which a part can be copied, BadConfigError TR643 where the target cannot read the condition.
  virtual SidePlace begin(const RelationPtr& table, const std::string& where) = 0;
  /// All rows were written. REQUIRES: begun, and the writers are gone.
  virtual void loaded(const CopiedTable& copied) = 0;
  /// Brings the copy further with what this batch has of its table, up to and including `until`, and the copy's fence
  /// does not contain. Throws RetryError when the copy is void.
  virtual void replay(const ChangeBatch& batch, const Position& until) = 0;
  /// Makes the table (of a copy in part: those rows) what the copy is, visible at once and durable on return; it is
  /// held no longer. Rows that are equal stay untouched. REQUIRES: everything is flushed, the fence's end is behind the
  /// cursor, and what lies between was replayed.
  virtual void merge() = 0;
  virtual void drop() = 0;
};

struct LetterReplay;

/// A place that takes changes. One runner thread owns it and makes all calls, except that CopyWriters are used by the
/// copy's reader threads. A sink neither sleeps nor retries: the runner does that by the error's class.
/// Any call may throw DamagedTarget. After any throw the sink's open transaction is gone; the runner calls open() again
/// and goes on from what it says.
class Sink {
 public:
  virtual ~Sink() = default;

  /// Connects to the target (again) and tells what is durable there. Throws RetryError (busy, locked by somebody
  /// else), RefusedError (not ours, newer), DamagedTarget.
  virtual SinkState open() = 0;

  /// Prepares the copy of these tables: creates them, or empties what an earlier copy left, finished or not.
  virtual void begin_copy(const std::vector<RelationPtr>& tables) = 0;
  virtual std::unique_ptr<CopyWriter> open_copy(const RelationPtr& table) = 0;
  /// The table's rows are complete as of `copied.fence`; durable on return, with the rows visible.
  virtual void finish_copy(const CopiedTable& copied) = 0;
  /// All tables are copied: from here on `start` is the cursor, durable on return.
  virtual void finish_copies(const Cursor& start) = 0;

  /// Applies a batch, or a marked part of a giant transaction; not yet durable. Changes of transactions that a table's
  /// copy already holds (CopiedTable::fence) are skipped here.
  virtual void apply(const ChangeBatch& batch) = 0;
  /// What was committed behind the last batch, up to `at` in a later epoch, is missing from the log, so no table is
  /// exact from here on until it has been copied: it takes no changes until then, and problems() and
  /// SideCopy::wanted() name it, or, where tables cannot be copied beside the stream, the next open() asks for its copy
  /// (SinkState::resume). REQUIRES: no transaction is half applied. Durable with the next flush(). Throws RefusedError
  /// where what the target keeps cannot be made right by a copy.
  virtual void begin_epoch(const Cursor& at) = 0;
  /// Writes what was applied and waits for it. Rows that only the target itself could refuse are dead letters
  /// afterwards, which the runner stores before it calls flush(); without any, the cursor may be durable already.
  virtual void write_out() {}
  /// Makes all applied batches durable and visible, together with the cursor. Only where the last batch ended a
  /// transaction. Gives the durable cursor.
  virtual Cursor flush() = 0;

  /// Some of the incomplete rows, others each time; nothing where there are none. A sink that knows no such rows needs
  /// none of these four.
  virtual std::optional<IncompleteRows> incomplete() { return std::nullopt; }
  virtual std::uint64_t incomplete_rows() const { return 0; }
  /// The place of the first change among the last ones of these rows; not of tables that are held, whose rows wait for
  /// more than that.
  virtual std::optional<Position> first_incomplete() const { return std::nullopt; }
  /// Takes rows that were read by key. REQUIRES: everything up to the fence's end is applied, and no transaction is
  /// half applied. Only rows that still are incomplete, and whose last change the fence contains, go in; durable with
  /// the next flush(). Gives how many.
  virtual std::uint64_t complete(const FencedRows& rows) {
    static_cast<void>(rows);
    return 0;
  }

  /// Null where tables cannot be copied beside the stream.
  virtual SideCopy* side_copy() { return nullptr; }
  /// Null where a copy that was broken off is begun again.
  virtual ResumedCopy* resumed_copy() { return nullptr; }

  /// Puts right the rows of keys that were found wrong. REQUIRES: `rows` is what they must be at the cursor, and no
  /// transaction is half applied. Durable with the next flush(). Gives how many were wrong.
  virtual std::uint64_t mend(const Relation& relation, const std::vector<ExpectedRow>& rows) {
    static_cast<void>(relation);
    static_cast<void>(rows);
    return 0;
  }

  /// Makes dead letters changes again, in their places; all of them or none. REQUIRES: `letters` are all letters of the
  /// rows that they are about, there is at least one, nothing is half applied, and everything is flushed. Durable with
  /// the next flush(). Throws RefusedError TR225 when a row does not wait for them (any more), LetterRefused TR226 when
  /// the target still cannot hold one, TR227 when they do not fit what is there now. After a throw, and after a
  /// rehearsal, in which nothing is written, the sink is opened again.
  virtual void replay(const LetterReplay& letters) = 0;

  /// Takes the cursor back to an earlier place, durable on return; the sink is opened again afterwards and gets
  /// everything behind it once more. False, with nothing done, where that would not end at the same rows. REQUIRES: no
  /// transaction is half applied.
  virtual bool rewind(const Cursor& to) {
    static_cast<void>(to);
    return false;
  }
  /// Has this table (schema, name) copied anew, when the sink is opened the next time. False where tables are copied by
  /// side_copy(), or there is no such table.
  virtual bool copy_anew(const TableName& table) {
    static_cast<void>(table);
    return false;
  }

  /// Work that is kept out of the commit path (checkpoints). Called by the runner when nothing waits, or at the
  /// latest every few seconds.
  virtual void maintain() = 0;
  /// Whether maintain() has something to do though nothing was applied since its last call: by the clock, or because
  /// something beside the stream is done. Cheap: asked whenever the sink is idle.
  virtual bool wants_maintenance() const { return false; }
  /// Gives the target up so that others can open it; open() takes it back.
  virtual void release() = 0;
  /// After DamagedTarget: moves the damaged target out of the way, so that open() finds nothing, or what could be made
  /// again of it. Throws RetryError while somebody else uses it, CorruptionError where it holds what nothing would
  /// bring back.
  virtual SetAside set_aside() = 0;
  /// How far back the log has to reach so that a damaged target can be made again; nothing: to its cursor.
  virtual std::optional<Position> keeps_from() const { return std::nullopt; }
  /// The log is short of space: what keeps_from() waits for is to be done in the next maintain(), and not at its time.
  virtual void hurry() {}

  virtual Counters counters() const = 0;
  /// The same by table and kind of change, as far as it is durable: all of it after open(), then what has changed since
  /// the last call.
  virtual TableOutcomes take_outcomes() = 0;
  /// Letters of the changes applied since the last flush; the runner stores them before it calls write_out() and
  /// flush().
  virtual std::vector<DeadLetter> take_dead_letters() = 0;
  virtual std::vector<SinkProblem> problems() const = 0;
};

}  // namespace tailrace::sinks
