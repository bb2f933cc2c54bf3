#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>

#include "base/crash_point.h"
#include "base/error.h"
#include "sinks/duckdb/alteration.h"
#include "sinks/duckdb/copy_writer.h"
#include "sinks/duckdb/key.h"
#include "sinks/duckdb/resumed_copy.h"
#include "sinks/duckdb/sink_state.h"
#include "sinks/duckdb/table_writer.h"
#include "sinks/duckdb/target_check.h"

namespace tailrace::duckdb {
namespace {

void refuse_clashing_names(const std::vector<RelationPtr>& tables, const std::string& catalog) {
  std::set<std::string> seen;
  for (const RelationPtr& table : tables) {
    refuse_unaddressable({table->schema, table->name}, catalog);
    if (!seen.insert(folded(table->schema) + '\0' + folded(table->name)).second)
      throw BadConfigError("TR608",
                           fmt::format("{} differs from another table only in upper and lower case, which "
                                       "DuckDB does not tell apart",
                                       table->display_name()),
                           "leave one of them out, or rename it");
    std::set<std::string> columns;
    for (const Column& column : table->columns)
      if (!columns.insert(folded(column.name)).second)
        throw BadConfigError("TR608",
                             fmt::format("{} has columns that differ from \"{}\" only in upper and lower "
                                         "case, which DuckDB does not tell apart",
                                         table->display_name(), column.name),
                             "leave the table out, or rename the column");
    if (table->columns.empty())
      throw BadConfigError("TR608",
                           fmt::format("{} has no columns, and DuckDB has no such tables", table->display_name()),
                           "leave the table out");
  }
}

/// What a history is called and what it holds beside the source's own columns may not be the source's, too.
void refuse_history_names(const DuckdbSpec& spec, const Relation& table, const std::set<TableName>& others) {
  if (!keeps_history(spec, table.schema, table.name)) return;
  if (others.contains({folded(table.schema), folded(table.name) + "__history"}))
    throw BadConfigError("TR608",
                         fmt::format("the history of {} would have the name of another table", table.display_name()),
                         "leave one of them out, or keep no history of it");
  static const std::set<std::string> kOwn = {"effective_from", "effective_to", "is_current", "from_lsn",
                                             "to_lsn",         "from_seq",     "to_seq"};
  for (const Column& column : table.columns)
    if (kOwn.contains(folded(column.name)))
      throw BadConfigError(
          "TR608",
          fmt::format("{} has a column \"{}\", and its history one of its own", table.display_name(), column.name),
          "keep no history of it, or rename the column");
}

/// How often a reader's rows become durable, with the pages that they are of: what a copy that is broken off reads
/// again.
constexpr std::uint64_t kCommitMillis = 2000;

/// Appends one reader's rows in transactions of its own.
class Writer : public sinks::CopyWriter {
 public:
  Writer(const std::shared_ptr<Database>& database, const TableShape& shape, const TableName& place,
         sinks::LetterBox& letters, MemoryBudget& memory, FaultCount& faults)
      : connection_(database),
        relation_(shape.relation),
        key_(shape.key),
        check_(shape.check),
        letters_(letters),
        memory_(memory),
        faults_(faults) {
    connection_.run("BEGIN");
    rows_.emplace(connection_, place.first, place.second, shape.types);
  }

  void append(const CopiedRows& rows) override {
    faults_.watch([&] { memory_.watch([&] { append_rows(rows); }); });
    TAILRACE_CRASH_POINT("duckdb.copy_mid");
  }

  void range_done(const PageRange& range, const Fence& fence) override {
    ranges_.push_back(range);
    fence_ = fence;
    const std::chrono::milliseconds every(bound_or_tested("COPY_COMMIT_MS", kCommitMillis));
    if (SteadyClock::now() - committed_ < every) return;
    commit();
    TAILRACE_CRASH_POINT("duckdb.copy_range_committed");
    connection_.run("BEGIN");
  }

  void finish() override {
    commit();
    TAILRACE_CRASH_POINT("duckdb.copy_before_done");
    connection_.run("BEGIN");
  }

 private:
  void commit() {
    faults_.watch([&] {
      memory_.watch([&] {
        rows_->flush();
        // The letters of a copy are kept when its table is complete: one that is broken off cannot go on behind them.
        if (refused_ && !ranges_.empty()) ranges_.emplace_back();
        for (const PageRange& range : ranges_)
          StateTables::add_chunk(connection_, {relation_->schema, relation_->name}, range, fence_);
        TAILRACE_CRASH_POINT("duckdb.copy_range");
        connection_.run("COMMIT");
      });
    });
    ranges_.clear();
    committed_ = SteadyClock::now();
  }

  void append_rows(const CopiedRows& rows) {
    held_ = rows.held;
    ByteReader in(rows.bytes());
    while (!in.empty()) {
      const TupleView tuple = measure_tuple(in);
      if (tuple.bytes().size() > memory_.longest_row()) {
        refuse(tuple, kRowTooLong);
        continue;
      }
      if (const char* reason = check_ == nullptr ? nullptr : check_->refusal_of(tuple)) {
        refuse(tuple, reason);
        continue;
      }
      FieldWalk walk(tuple);
      bool held = true;
      for (std::size_t n = 0; held && n < relation_->columns.size(); ++n) held = rows_->put(n, walk.next());
      if (held) {
        rows_->end_row();
      } else {
        refuse(tuple, kValueNotHeld);
      }
    }
    rows_->take_in();
    held_.reset();
  }

  void refuse(TupleView tuple, const char* reason) {
    sinks::DeadLetter letter;
    letter.relation = relation_;
    letter.operation = "copy";
    letter.reason = reason;
    if (held_) {
      letter.new_row = tuple.bytes();
      letter.held = {held_};
    } else {
      letter.keep({}, tuple.bytes());
    }
    Arena arena;
    ByteView key;
    const bool keyed = !key_.empty() && read_key(tuple, {}, key_, arena, key);
    refused_ = true;
    letters_.add_copied(std::move(letter), keyed ? std::string(key) : std::string());
  }

  Connection connection_;
  RelationPtr relation_;
  std::vector<std::size_t> key_;
  std::shared_ptr<const rules::RowCheck> check_;
  sinks::LetterBox& letters_;
  MemoryBudget& memory_;
  FaultCount& faults_;
  std::optional<RowAppender> rows_;
  /// Whose rows were appended since the last commit.
  std::vector<PageRange> ranges_;
  Fence fence_;
  SteadyClock::time_point committed_ = SteadyClock::now();
  bool refused_ = false;
  /// What the row lies in that is being appended, when it is a very long one.
  std::shared_ptr<const void> held_;
};

}  // namespace

std::string column_list(const TableShape& shape) {
  std::string out;
  for (std::size_t n = 0; n < shape.width(); ++n)
    out +=
        fmt::format("{}{} {}", n == 0 ? "" : ", ", identifier(shape.relation->columns[n].name), shape.types[n].sql());
  return out;
}

std::unique_ptr<sinks::CopyWriter> make_copy_writer(const std::shared_ptr<Database>& database, const TableShape& shape,
                                                    const TableName& place, sinks::LetterBox& letters,
                                                    MemoryBudget& memory, FaultCount& faults) {
  return std::make_unique<Writer>(database, shape, place, letters, memory, faults);
}

TableShape DuckdbSink::State::shape_of(const RelationPtr& relation) const {
  TableShape shape(relation, spec_.on_unrepresentable, spec_.rules.get());
  shape.history = keeps_history(spec_, relation->schema, relation->name);
  shape.intermediate = spec_.history_intermediate;
  shape.apply_later = spec_.apply_later;
  return shape;
}

void DuckdbSink::State::refuse_foreign(const std::vector<RelationPtr>& tables) {
  std::vector<TableName> wanted;
  for (const RelationPtr& table : tables) wanted.emplace_back(table->schema, table->name);
  std::set<TableName> ours;
  for (const auto& [name, table] : tables_) ours.insert(name);
  refuse_foreign_tables(*connection_, spec_, wanted, ours);
}

void DuckdbSink::State::refuse_new_names(const RelationPtr& table) {
  std::vector<RelationPtr> all = {table};
  std::set<TableName> names;
  std::set<TableName> made;
  for (const auto& [name, other] : tables_) {
    if (name != Name(table->schema, table->name)) all.push_back(other->shape.relation);
    names.emplace(folded(name.first), folded(name.second));
    if (other->state == TableState::kCopied) made.insert(name);
  }
  refuse_clashing_names(all, catalog_name());
  refuse_history_names(spec_, *table, names);
  refuse_foreign_tables(*connection_, spec_, {{table->schema, table->name}}, made);
}

std::string DuckdbSink::State::catalog_name() {
  return connection_->rows("SELECT current_database()").front().front().second;
}

void DuckdbSink::State::begin_copy(const std::vector<RelationPtr>& tables) {
  refuse_clashing_names(tables, catalog_name());
  std::set<TableName> names;
  for (const auto& [name, table] : tables_) names.emplace(folded(name.first), folded(name.second));
  for (const RelationPtr& table : tables) names.emplace(folded(table->schema), folded(table->name));
  for (const RelationPtr& table : tables) refuse_history_names(spec_, *table, names);
  refuse_foreign(tables);
  if (in_transaction_) throw DefectError("a copy begins inside a transaction");
  begin();
  try {
    for (const RelationPtr& relation : tables) create_table(relation);
    connection_->run("COMMIT");
  } catch (...) {
    roll_back();
    throw;
  }
  in_transaction_ = false;
}

void DuckdbSink::State::create_table(const RelationPtr& relation) {
  const auto before = tables_.find({relation->schema, relation->name});
  const bool lost = before != tables_.end() && before->second->state == TableState::kLost;
  Table& table = adopt(std::make_unique<Table>(shape_of(relation)));
  if (lost) table.state = TableState::kLost;  // until it is copied, also over a restart
  letters_.take_copied_keys(relation->schema, relation->name);
  connection_->run("CREATE SCHEMA IF NOT EXISTS " + identifier(relation->schema));
  connection_->run("DROP TABLE IF EXISTS " + table.mirror_name());
  resumed_->forget_keys(table);
  connection_->run(fmt::format("CREATE TABLE {}({})", table.mirror_name(), column_list(table.shape)));
  tables_on_disk_->clear_table(table);
  tables_on_disk_->write_table(table);
}

std::unique_ptr<sinks::CopyWriter> DuckdbSink::State::open_copy(const RelationPtr& relation) {
  const auto found = tables_.find({relation->schema, relation->name});
  if (found == tables_.end()) throw DefectError("a copy was opened for a table that was not prepared");
  return make_copy_writer(database_, found->second->shape, found->second->place(), letters_, memory_, faults_);
}

void DuckdbSink::State::finish_copy(const CopiedTable& copied) {
  Table& table = *tables_.at({copied.relation->schema, copied.relation->name});
  begin();
  try {
    table.state = TableState::kCopied;
    table.fence = copied.fence;
    table.copied_rows = copied.rows;
    if (resumed_->went_on(table)) {
      // Some rows were read twice.
      table.copied_rows =
          std::stoull(connection_->rows("SELECT count(*)::VARCHAR FROM " + table.mirror_name())[0][0].second);
      resumed_->forget_keys(table);
    }
    tables_on_disk_->clear_chunks(table);
    for (std::string& key : letters_.take_copied_keys(copied.relation->schema, copied.relation->name)) {
      if (key.empty() || !table.lettered.emplace(key, Position{}).second) continue;
      tables_on_disk_->add_letter(table, key);
    }
    if (table.shape.history) create_history(table, copied.fence.taken_at, copied.fence.end);
    tables_on_disk_->write_table(table);
    connection_->run("COMMIT");
  } catch (...) {
    roll_back();
    throw;
  }
  in_transaction_ = false;
}

void DuckdbSink::State::create_history(Table& table, PgTime since, Lsn from) {
  refuse_history_names(spec_, *table.shape.relation, {});
  const std::string history = table.history_name();
  connection_->run("DROP TABLE IF EXISTS " + history);
  connection_->run(fmt::format("CREATE TABLE {}({}, {})", history, column_list(table.shape), history_columns()));
  // Copied rows are in force since the fence at the latest; nobody knows since when.
  connection_->run(fmt::format("INSERT INTO {} SELECT {}, make_timestamptz({}), NULL, true, {}, NULL, 0, NULL FROM {}",
                               history, listed_columns(*table.shape.relation), since.unix_micros(), from.value(),
                               table.mirror_name()));
  make_as_of(*connection_, table);
  tables_on_disk_->write_baseline(table, since, from);
}

void DuckdbSink::State::finish_copies(const Cursor& start) {
  // What was lost and not copied is at the source no more.
  std::vector<Name> gone;
  for (const auto& [name, table] : tables_)
    if (table->state == TableState::kLost) gone.push_back(name);
  if (!gone.empty()) {
    write_alone([&] {
      for (const Name& name : gone) tables_on_disk_->clear_table(*tables_.at(name));
    });
  }
  for (const Name& name : gone) {
    by_oid_.erase(tables_.at(name)->shape.relation->oid);
    tables_.erase(name);
  }
  pending_ = start;
  flush();
}

}  // namespace tailrace::duckdb
