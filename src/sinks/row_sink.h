#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rules/row_rules.h"
#include "sinks/letter_box.h"
#include "sinks/outcomes.h"
#include "sinks/row_isolation.h"
#include "sinks/row_state.h"
#include "sinks/row_table.h"
#include "sinks/row_target.h"
#include "sinks/row_unit.h"
#include "sinks/sink.h"

namespace tailrace::sinks {

class LetterChanges;

/// Whose the target is, and what belongs there.
struct RowSinkSpec {
  std::string pipeline;
  std::string source_id;
  /// The target, for people.
  std::string display;
  /// Whether changes of a table are wanted; null: of all.
  std::function<bool(std::string_view schema, std::string_view table)> wanted = {};
  /// Null: there are none.
  std::shared_ptr<const rules::RowRules> rules = {};
  /// Later changes of a row with a dead letter are applied.
  bool apply_later = false;
  /// Larger ones, in bytes of their tuples, are dead letters: on their way they would be in memory several times.
  std::uint64_t longest_row = UINT64_MAX;
};

/// A Sink over a RowTarget (docs/sinks.md). It decides of each change what becomes of it, follows the tables from
/// version to version, completes values that were not sent, folds to the last state of each key where the target wants
/// that, isolates rows that the target refuses, and keeps cursor, counters and tables with the rows. One runner thread
/// owns it (see Sink).
class RowSink : public Sink {
 public:
  RowSink(RowSinkSpec spec, std::unique_ptr<RowTarget> target);
  ~RowSink() override;

  SinkState open() override;
  void begin_copy(const std::vector<RelationPtr>& tables) override;
  std::unique_ptr<CopyWriter> open_copy(const RelationPtr& table) override;
  void finish_copy(const CopiedTable& copied) override;
  void finish_copies(const Cursor& start) override;
  void apply(const ChangeBatch& batch) override;
  void begin_epoch(const Cursor& at) override;
  void write_out() override;
  Cursor flush() override;
  std::optional<IncompleteRows> incomplete() override;
  std::uint64_t incomplete_rows() const override;
  std::optional<Position> first_incomplete() const override;
  std::uint64_t complete(const FencedRows& rows) override;
  void replay(const LetterReplay& replay) override;
  bool rewind(const Cursor& to) override;
  bool copy_anew(const TableName& table) override;
  void maintain() override;
  bool wants_maintenance() const override { return writer_ && writer_->wants_maintenance(); }
  void release() override;
  SetAside set_aside() override;
  Counters counters() const override { return counters_; }
  TableOutcomes take_outcomes() override { return outcomes_.take(); }
  std::vector<DeadLetter> take_dead_letters() override { return letters_.take(); }
  std::vector<SinkProblem> problems() const override;

 private:
  /// What a change is taken for: itself, with its transaction and its table.
  struct Taken {
    const Change& change;
    const Transaction& transaction;
    RowTable& table;
    OutcomeCounts& outcomes;

    Position position() const { return transaction.position(change.ordinal); }
  };

  /// What a relation of the batch is here.
  struct SeenRelation {
    /// Null: left out.
    RowTable* table = nullptr;
    /// The table's version that it was found to equal.
    RelationPtr equal_to;
    OutcomeCounts* outcomes = nullptr;
  };

  void see_owner(const StateMap& state);
  void read_state(const StateMap& state);
  SeenRelation& see(const Relation* relation);
  void count(OutcomeCounts& outcomes, ChangeKind kind, Outcome outcome);
  /// A change that was counted as applied is a dead letter.
  void recount_as_letter(OutcomeCounts& outcomes, ChangeKind kind);
  RowTable* table_of(const Relation& relation);
  RowTable& must_know(const RelationPtr& relation);
  void take(const ChangeBatch& batch, const Change& change);
  /// The table as of this change's relation; false: its changes are held from here on.
  bool follow(const Taken& taken);
  /// The table is copied anew before anything else goes on.
  [[noreturn]] void copy_anew(RowTable& table, RelationPtr relation, std::string reason);
  void refuse_table(RowTable& table, std::string reason);
  void set_gone(RowTable& table);
  void take_event(const Taken& taken);
  void take_state(const Taken& taken);
  void take_truncate(const Taken& taken);
  /// The short way for a row that is new under its key. False: something about it needs the long way.
  bool take_new_row(const Taken& taken);
  void put_row(const Taken& taken, const std::string& key);
  void remove_row(const Taken& taken, const std::string& key);
  /// The rows of these changes wait for letters no more. Throws RefusedError TR225 when one does not, LetterSuperseded
  /// when what is there is newer.
  void open_keys(RowTable& table, const LetterChanges& changes, const LetterReplay& replay);
  /// Why the change cannot be written, known without asking the target: a rule that it breaks, or the target's types.
  const char* refusal_of(RowTable& table, const RowChange& change) const;
  /// Of the values that go to the target, those included that are only completed from the old row.
  bool too_long(const RowChange& change) const;
  /// Keeps the change's rows for a letter: a very long one where it is, others in a copy.
  void keep_rows(const RowChange& change, DeadLetter& letter) const;
  /// Whether an earlier change of this row is a dead letter: then this one is, too.
  bool closed(const Taken& taken, const std::string& key);
  /// A change of a row with a letter is applied: letters that are older are superseded.
  void pass_letter(RowTable& table, const std::string& key, const Position& at);
  /// Of a letter whose table has no key: an event is known by its place.
  static std::string place_key(const Position& position);
  RowChange row_change(const Taken& taken, RowOperation operation) const;
  void lay_down(const RowChange& change, RowTable& table, const std::vector<std::string>& keys,
                const std::string& reason);
  void note_lacking(const Taken& taken, const std::string& key);
  void drop_lacking(RowTable& table, const std::string& key);
  void note_table(const RowTable& table) { state_[table_key(table)] = encode_table(table); }
  void write_now(const StateChanges& state);
  /// Writes what the unit has, without the state; rows that the target refuses become letters.
  void write_rows();
  bool lay_down_follower(const RowChange& change);
  void refuse_row(const RowChange& change, const std::string& reason);
  void refuse_unkept_letters();
  StateChanges state_to_write() const;
  /// All of it is durable.
  void settle();
  void forget_unwritten();

  const RowSinkSpec spec_;
  std::unique_ptr<RowTarget> target_;
  const RowTraits traits_;
  std::unique_ptr<RowWriter> writer_;
  RowIsolation isolation_;

  std::optional<Cursor> durable_;
  /// Applied up to here.
  Cursor pending_;
  Counters counters_;
  Outcomes outcomes_;
  std::map<std::uint32_t, RowTable> tables_;
  LetterBox letters_;

  RowUnit unit_;
  /// The batch that is being applied; null between batches.
  const ChangeBatch* applied_ = nullptr;
  /// State that is to be written beside cursor and counters.
  StateChanges state_;
  /// Something was applied since the last flush.
  bool unflushed_ = false;
  /// The last batch ended inside a transaction.
  bool inside_ = false;
  /// Of the batch that is applied: what each relation of it is here.
  std::unordered_map<const Relation*, SeenRelation> seen_;
  const Relation* last_relation_ = nullptr;
  SeenRelation* last_seen_ = nullptr;
};

}  // namespace tailrace::sinks
