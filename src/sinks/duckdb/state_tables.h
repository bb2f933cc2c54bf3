#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/change_batch.h"
#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/row_appender.h"
#include "sinks/duckdb/spec.h"
#include "sinks/duckdb/table.h"
#include "sinks/outcomes.h"
#include "sinks/sink.h"

namespace tailrace::duckdb {

/// The schema `tailrace` inside the target: what the sink must know of itself after any crash. Everything is written in
/// the transaction that the caller has open on `connection`. Belongs to the sink, dies before the connection.
///
///   meta        one row: the format's version, the pipeline and the source
///   cursor      one row: how far the target is, and the counters
///   tables      the copied tables: relation, fence, rows
///   lanes       tables that are held, with the place and the reason
///   letters     keys of dead letters, each with the place of the last change that was applied behind them, if there
///   was
///               one
///   outcomes    what became of the changes of each table and kind: the sums of all its rows, each of which is what one
///               commit added
///   incomplete  keys whose row is missing a value, each with the change that touched it last
///   chunks      pages of a table that is being copied whose rows are there, and under which fence; one without pages
///               says that the copy cannot go on from them
///   baselines   copied tables with history: their first versions hold "since at least", and, where history was
///               switched off, up to where it was kept
class StateTables {
 public:
  explicit StateTables(Connection& connection) : connection_(connection) {}

  /// Makes the schema in a new target, or checks that it is ours and brings it to the form of this version (see
  /// state_format.h). Throws RefusedError, CorruptionError.
  void open(const DuckdbSpec& spec);

  std::optional<Cursor> read_cursor();
  sinks::Counters read_counters();
  std::vector<std::unique_ptr<Table>> read_tables(const DuckdbSpec& spec);

  void write_cursor(const DuckdbSpec& spec, const Cursor& cursor, const sinks::Counters& counters, PgTime now);
  sinks::TableOutcomes read_outcomes();
  /// What has changed in them since they were settled.
  void write_outcomes(const sinks::Outcomes& outcomes);
  /// What is not yet handed to DuckDB is forgotten.
  void close_appender() { outcome_rows_.reset(); }
  void write_table(const Table& table);
  /// All that is kept of a table, under its new name.
  void rename(const Relation& from, const Relation& to);
  /// The version that is stored.
  RelationPtr relation(Oid oid);
  void write_hold(const Table& table, PgTime now);
  /// Marks where the history of a table was no longer kept; nothing: it is kept again.
  void stop_history(const Table& table, std::optional<Lsn> at);
  /// By schema and name.
  std::map<std::pair<std::string, std::string>, Lsn> stopped_histories();
  /// By schema and name.
  std::vector<std::pair<std::string, std::string>> tables_with_chunks();
  /// Nothing where the copy of the table has to be begun again.
  std::optional<sinks::PartialCopy> read_chunks(const Table& table);
  /// In the transaction of a copy's reader.
  static void add_chunk(Connection& reader, const std::pair<std::string, std::string>& table, const PageRange& range,
                        const Fence& fence);
  /// The rows of these pages are as of another fence now.
  void move_chunks(const Table& table, const Fence& fence);
  void clear_chunks(const Table& table);
  void write_baseline(const Table& table, PgTime since, Lsn from);
  void add_letter(const Table& table, const std::string& key, const Position& passed = {});
  /// A change of that row was applied behind its letters.
  void pass_letter(const Table& table, const std::string& key, const Position& at);
  void drop_letter(const Table& table, const std::string& key);
  /// In place of what was noted of that key before.
  void put_incomplete(const Table& table, const std::string& key, const IncompleteRow& row);
  void drop_incomplete(const Table& table, const std::string& key);
  /// Whether letters or incomplete keys are noted of the table.
  bool has_keys(const Table& table);
  /// Forgets letters and incomplete keys of the table (after a truncate).
  void clear_keys(const Table& table);
  /// Forgets everything of the table but itself (before a new copy).
  void clear_table(const Table& table);

 private:
  /// By schema and name.
  using TablesByName = std::map<std::pair<std::string, std::string>, Table*>;

  void read_keys(const TablesByName& tables);
  void read_holds(const TablesByName& tables);

  void append_outcomes(const std::string& table, const sinks::OutcomeCounts& counts);

  Connection& connection_;
  std::unique_ptr<RowAppender> outcome_rows_;
  /// Of `outcomes`, those that are not summed up among them.
  std::uint64_t outcome_rows_there_ = 0;
  std::optional<Statement> delete_cursor_;
  std::optional<Statement> insert_cursor_;
};

}  // namespace tailrace::duckdb
