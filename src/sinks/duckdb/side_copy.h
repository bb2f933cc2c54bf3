#pragma once

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
  sinks::WriterFactory begin(const RelationPtr& table) override;
  void loaded(const CopiedTable& copied) override;
  void replay(const ChangeBatch& batch, const Position& until) override;
  void merge() override;
  void drop() override;

  /// Removes what a process that died has left behind. REQUIRES: no copy was begun since the file was opened.
  void remove_leftovers();
  /// The file is closed: what was copied is void.
  void forget() { hidden_.reset(); }
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
  void compare(const std::string& table, const char* only);
  Difference merge_mirror(const Table& table);
  void merge_history(const Table& table);
  void write_state(const Table& table);

  State& state_;
  std::unique_ptr<Table> hidden_;
};

}  // namespace tailrace::duckdb
