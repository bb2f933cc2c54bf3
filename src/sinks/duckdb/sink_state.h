#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sinks/duckdb/batch_versions.h"
#include "sinks/duckdb/damage.h"
#include "sinks/duckdb/duckdb_sink.h"
#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/history_safety.h"
#include "sinks/duckdb/memory_budget.h"
#include "sinks/duckdb/state_tables.h"
#include "sinks/duckdb/table.h"
#include "sinks/duckdb/table_batch.h"
#include "sinks/letter_box.h"
#include "sinks/letter_replay.h"

namespace tailrace::duckdb {

/// All that an open DuckdbSink has. The runner's thread, but for `letters_` and watch().
class DuckdbSink::State {
 public:
  explicit State(DuckdbSpec spec);
  ~State();

  sinks::SinkState open();
  void close();
  sinks::SetAside set_aside();
  std::optional<Position> keeps_from() const;
  void hurry() { hurried_ = true; }
  /// Does what `call` does, and notes what DuckDB fails in.
  template <typename Call>
  decltype(auto) watch(Call call) {
    return faults_.watch([&]() -> decltype(auto) { return memory_.watch(call); });
  }
  void begin_copy(const std::vector<RelationPtr>& tables);
  std::unique_ptr<sinks::CopyWriter> open_copy(const RelationPtr& relation);
  void finish_copy(const CopiedTable& copied);
  void finish_copies(const Cursor& start);
  void apply(const ChangeBatch& batch);
  void begin_epoch(const Cursor& at);
  Cursor flush();
  std::optional<sinks::IncompleteRows> incomplete();
  std::uint64_t incomplete_rows() const;
  std::optional<Position> first_incomplete() const;
  std::uint64_t complete(const FencedRows& read);
  sinks::SideCopy* side_copy();
  sinks::ResumedCopy* resumed_copy();
  std::uint64_t mend(const Relation& relation, const std::vector<sinks::ExpectedRow>& rows);
  void replay(const sinks::LetterReplay& replay);
  void maintain();
  const sinks::Counters& counters() const { return counters_; }
  sinks::TableOutcomes take_outcomes() { return outcomes_.take(); }
  std::vector<sinks::DeadLetter> take_dead_letters() { return letters_.take(); }
  std::vector<sinks::SinkProblem> problems() const;

 private:
  class Side;
  class Resumed;
  using Name = std::pair<std::string, std::string>;

  void open_database(std::uint64_t memory);
  sinks::SinkState what_is_there();
  void begin();
  void roll_back() noexcept;
  using Versions = std::unordered_map<Table*, std::unique_ptr<BatchVersions>>;
  /// What a batch speaks of.
  struct BatchTables {
    /// Null: left out by the pipeline.
    std::unordered_map<const Relation*, Table*> by_relation;
    Versions versions;
  };

  void write_batch(const ChangeBatch& batch, bool inside);
  /// `inside`: the target holds rows of an unfinished transaction.
  BatchTables tables_of(const ChangeBatch& batch, bool inside);
  /// Brings the target to the last of them.
  void alter_tables(Versions& versions);
  /// Nothing else in the target has the name that `table` gets.
  void make_room(const Relation& next, Table& table, const Position& at);
  void record(TableBatch& batch);
  /// A change that no table of ours takes.
  void filter(const Change& change, const std::string& table);
  /// Lets DuckDB use more where it could not hold so many tables' rows. Throws RetryError when that were too much.
  void provide_memory(const std::vector<std::unique_ptr<TableBatch>>& batches);
  void write_table(TableBatch& batch);
  /// The transaction is gone: the table is tried again by whole rows where that is possible, else held. Throws
  /// RetryError.
  [[noreturn]] void give_up(const SuspectTable& suspect);
  std::uint64_t put_completed(Table& table, const FencedRows& read);
  /// Keys of the rows that wait for these letters, and may be written. Throws RefusedError TR225 when one does not
  /// wait, LetterSuperseded when what is there is newer.
  std::set<std::string> open_keys(Table& table, const sinks::LetterChanges& changes, const sinks::LetterReplay& replay);
  /// Of these keys, those of rows that the mirror has.
  std::set<std::string> keys_there(Table& table, const std::set<std::string>& keys);
  /// Both make right what differs from temp.tailrace_expected.
  std::uint64_t put_mirror_right(const Table& table);
  void put_history_right(const Table& table);
  /// Null for a table that the pipeline does not want.
  Table* table_for(const Relation& relation, const Position& at);
  /// A table that was copied and is not wanted any more misses changes from here on.
  void hold_left_out(Table& table, const Position& at);
  /// A held table is not followed any more at all, or is again.
  void hold_by_standing(Table& table, const Relation& relation, const Position& at);
  Table& hold_uncopied(const Relation& relation, const Position& at);
  Table& adopt(std::unique_ptr<Table> table);
  TableShape shape_of(const RelationPtr& relation) const;
  /// What DuckDB calls the file: its name without the ending.
  std::string catalog_name();
  void refuse_foreign(const std::vector<RelationPtr>& tables);
  /// Throws when the target cannot have a table of that name and columns beside those it has.
  void refuse_new_names(const RelationPtr& table);
  void create_table(const RelationPtr& relation);
  /// Throws BadConfigError TR608 where the history's name or columns are the source's, too.
  void create_history(Table& table, PgTime since, Lsn from);
  /// The file is others' too while it is lent: throws RefusedError TR617 when a table is not as it was made.
  void check_columns();
  /// A table that was copied before its history was asked for gets one that begins now. A history that is no longer
  /// asked for is marked, and going on with it behind a gap is refused (TR616).
  void check_history(PgTime since, Lsn from);
  void refuse_gap(const Table& table, Lsn stopped, Lsn now) const;
  /// A transaction of its own.
  void write_alone(const std::function<void()>& write);
  void checkpoint();
  void restore_memory();
  void export_histories(SteadyClock::time_point now);

  const DuckdbSpec spec_;
  MemoryBudget memory_;
  FaultCount faults_;
  std::optional<HistorySafety> safety_;
  std::shared_ptr<Database> database_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<StateTables> tables_on_disk_;
  std::map<Name, std::unique_ptr<Table>> tables_;
  std::unordered_map<Oid, Table*> by_oid_;
  /// Tables whose key failed. Until the sink goes: a key that fails at one place of the log mostly holds further on.
  std::set<Name> whole_rows_;
  std::optional<Cursor> durable_;
  Cursor pending_;
  sinks::Counters counters_;
  sinks::Outcomes outcomes_;
  bool in_transaction_ = false;
  bool hurried_ = false;
  std::size_t incomplete_turn_ = 0;
  SteadyClock::time_point last_commit_{};
  SteadyClock::time_point last_checkpoint_{};
  SteadyClock::duration checkpoint_took_{};
  sinks::LetterBox letters_;
  std::unique_ptr<Side> side_;
  std::unique_ptr<Resumed> resumed_;
};

}  // namespace tailrace::duckdb
