#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "model/change_batch.h"
#include "sinks/duckdb/batch_versions.h"
#include "sinks/duckdb/keyed_fold.h"
#include "sinks/duckdb/multiset_fold.h"
#include "sinks/duckdb/table.h"
#include "sinks/sink.h"

namespace tailrace::duckdb {

/// Why a row becomes a dead letter.
inline constexpr const char* kValueNotHeld = "DuckDB's type cannot hold a value of this row";
inline constexpr const char* kRowTooLong = "the row is too large for DuckDB's memory (limits.memory)";

/// The changes of one batch on one table: decides of each whether it is taken, and folds what is. Made by
/// DuckdbSink::apply for one batch; TableWriter writes it. All that is folded together has one way to tell rows apart:
/// that of the changes' own relation.
class TableBatch {
 public:
  /// REQUIRES: the table is brought to the last of `versions`, which outlives this object. `longest_row`: rows of more
  /// bytes become letters.
  TableBatch(Table& table, BatchVersions& versions, const ChangeBatch& batch, std::uint64_t longest_row);

  /// One change of this table, in order. Counts it. False: from this change on rows are told apart otherwise; what is
  /// folded is to be written, then restart(), and the change added again.
  bool add(const Change& change);
  /// Forgets what was folded and found.
  void restart();
  /// The target cannot hold this row: its change becomes a letter, its key is closed.
  void refuse(const Change& change, const std::string& reason);
  /// A value of this row is known to nobody here.
  void note_incomplete(const Change& change, ByteView key);
  /// The row of an incomplete key is whole again, or gone.
  void drop_incomplete(ByteView key);

  Table& table() { return table_; }
  /// The table's, with the key by which the rows that are folded now are told apart.
  const TableShape& shape() const { return shape_; }
  const ChangeBatch& batch() const { return batch_; }
  const Transaction& transaction_of(const Change& change) const { return batch_.transactions[change.transaction]; }
  Position position_of(const Change& change) const { return transaction_of(change).position(change.ordinal); }
  /// The number of a version that begins or ends with `change`. Folded per transaction it is the transaction's first,
  /// so that it does not depend on how a giant was cut into parts; intermediate ones carry their change's own.
  Seq version_seq(const Change& change) const {
    const Transaction& transaction = transaction_of(change);
    return shape_.intermediate ? transaction.change_seq(change.ordinal) : transaction.seq;
  }
  /// Whether the change's transaction may have written to this table before what is folded here.
  bool continues(const Change& change) const {
    return !transaction_of(change).first_part || (restarted_ && change.transaction == restarted_in_);
  }
  bool writes() const { return !keyed_->empty() || !multiset_->empty(); }
  /// Rows of the target may go.
  bool writes_old_rows() const { return !keyed_->only_inserts() || !multiset_->empty(); }
  KeyedFold& keyed() { return *keyed_; }
  MultisetFold& multiset() { return *multiset_; }
  /// Rows that go before anything is written, if they are there, and the change that ends them: behind a letter nobody
  /// knows whether the target has the row.
  const std::vector<std::pair<ByteView, const Change*>>& cleared() const { return cleared_; }

  /// What the counters and the state tables have to learn of this batch.
  struct Findings {
    std::uint64_t received = 0;
    sinks::OutcomeCounts outcomes;
    std::vector<sinks::DeadLetter> letters;
    std::vector<std::string> new_lettered;
    /// Rows with letters of which a later change was applied.
    std::vector<std::pair<std::string, Position>> passed;
    std::vector<std::pair<std::string, IncompleteRow>> new_incomplete;
    std::vector<std::string> no_longer_incomplete;
    bool keys_cleared = false;
    bool newly_held = false;
  };
  Findings& findings() { return findings_; }

 private:
  enum class Relating { kTaken, kHeld, kAnew };
  Relating accept_relation(const Change& change);
  bool describe(const Change& change);
  /// False as add().
  bool add_accepted(const Change& change);
  void refuse_keyless(const Change& change);
  void hold(const Change& change, const std::string& code, const std::string& reason);
  void count(const Change& change, sinks::Outcome outcome) { findings_.outcomes.add(change.kind, outcome); }
  bool add_keyed(const Change& change);
  bool add_insert(const Change& change);
  /// `change` is applied to rows of these keys, of which some have a letter. False as add().
  bool pass_letters(const Change& change, std::initializer_list<ByteView> keys);
  bool is_cleared(ByteView key) const;
  /// The change cannot be applied, but its row is not under its former key any more. False as add().
  bool leave_key(const Change& change, ByteView old_key);
  /// The target lacks the row though the source has it.
  bool absent(ByteView key) const;
  void see_inserts();
  void add_multiset(const Change& change);
  void add_append_only(const Change& change);
  void add_truncate(const Change& change);
  bool too_long(TupleView tuple) const { return tuple.present() && tuple.bytes().size() > longest_row_; }
  /// Why the row cannot be written; null: it can.
  const char* obstacle(TupleView tuple);
  bool lettered(ByteView key) const;
  /// Its rows lie in the batch, and not in a translation that goes with this object.
  bool in_batch(const Change& change) const {
    const std::less<const Change*> before;
    const Change* first = batch_.changes.data();
    return !before(&change, first) && before(&change, first + batch_.changes.size());
  }

  Table& table_;
  TableShape shape_;
  BatchVersions& versions_;
  const ChangeBatch& batch_;
  const std::uint64_t longest_row_;
  const Relation* accepted_ = nullptr;
  RowTranslation* translation_ = nullptr;
  std::vector<std::size_t> risky_;
  std::vector<char> scratch_;
  std::optional<KeyedFold> keyed_;
  std::optional<MultisetFold> multiset_;
  std::vector<std::pair<ByteView, const Change*>> cleared_;
  /// Of these, keys of whose row the fold knows all since.
  std::vector<ByteView> cleared_known_;
  bool restarted_ = false;
  std::uint32_t restarted_in_ = 0;
  Findings findings_;
};

}  // namespace tailrace::duckdb
