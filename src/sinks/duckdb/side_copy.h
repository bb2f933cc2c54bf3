#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sinks/duckdb/sink_state.h"

namespace tailrace::duckdb {

/// The copy of one table beside the stream: its rows collect in a table of the schema `tailrace`, which nobody else
/// looks at, and are merged into the table's own as a difference. Owned by the sink's state, used by its thread; the
/// writers that begin() makes are used by the copy's readers.
class DuckdbSink::State::Side final : public sinks::SideCopy {
 public:
  explicit Side(State& state) : state_(state) {}

  std::vector<sinks::TableName> wanted() const override;
  sinks::SidePlace begin(const RelationPtr& table, const std::string& where) override;
  void loaded(const CopiedTable& copied) override;
  void replay(const ChangeBatch& batch, const Position& until) override;
  void merge() override;
  void drop() override;

  /// Removes what a process that died has left behind. REQUIRES: no copy was begun since the file was opened.
  void remove_leftovers();
  /// The file is closed: what was copied is void.
  void forget();
  bool under_way() const { return hidden_ != nullptr; }

 private:
  struct Difference {
    std::uint64_t gone = 0;
    std::uint64_t fresh = 0;
  };

  /// What the target's columns are, with their types; empty when there is no such table.
  std::vector<TextRow> columns_of(const std::string& schema, const std::string& table);
  void write_replay(const ChangeBatch& batch, const Position& until);
  void write_replayed(TableBatch& batch);
  void write_merge();
  /// Finds, in temp.tailrace_gone and temp.tailrace_fresh, the rows of `table` (those for which `only` holds) and of
  /// the copy that have no equal on the other side.
  void compare(const std::string& table, const std::string& only);
  // Copies in part (side_part.cc). The part is what the copy's keys name, and those in the table beside it: keys that
  // the source has no row of.
  /// Throws where the table cannot be copied in part.
  void refuse_part(const RelationPtr& relation, const std::string& where);
  /// See sinks::SidePlace. On another thread, with a connection of its own.
  std::function<std::vector<std::string>()> suspects_of_part() const;
  void part_loaded();
  /// Those of the changes that go on with a row of the part. Keys that others speak of are no longer missed.
  std::vector<const Change*> changes_of_part(const std::vector<const Change*>& changes);
  void merge_part();
  /// Makes temp.tailrace_part with these keys, as the sink writes them.
  void stage_keys(const std::vector<std::string>& keys);
  /// SQL: whether a row called t has the key of one of temp.tailrace_part, called s.
  std::string staged_key() const;
  /// Takes these keys out of the part.
  void leave_out(const std::vector<std::string>& keys);
  /// SQL: the rows of the mirror or the history that are of the part.
  std::string of_part() const;
  std::string missed_name() const;
  Difference merge_mirror(const Table& table);
  /// The table is what the copy is, with its columns.
  Difference replace_mirror(const Table& table);
  void merge_history(const Table& table);
  void write_state(const Table& table);

  State& state_;
  std::unique_ptr<Table> hidden_;
  /// Of a copy in part.
  std::string where_;
  /// Of rows of a part: the stream or the whole copy has told of them already.
  sinks::LetterBox known_letters_;
};

/// What was copied is of no use: throws RetryError TR640.
[[noreturn]] void give_up_copy(const Table& hidden, const std::string& why);

}  // namespace tailrace::duckdb
