#include "sinks/duckdb/duckdb_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "sinks/duckdb/resumed_copy.h"
#include "sinks/duckdb/side_copy.h"
#include "sinks/duckdb/sink_state.h"
#include "sinks/duckdb/table_writer.h"

namespace tailrace::duckdb {
namespace {

// A checkpoint rewrites the parts of the file that changed, and nothing is applied meanwhile. It waits for quiet, and
// for a busy target until the WAL is long enough that many transactions share the work. While rows pour in, it comes
// earlier: rows that are not yet compressed fill DuckDB's memory, and little is then left to be written at the end.
constexpr std::uintmax_t kBusyWal = 128ULL << 20;
constexpr std::uintmax_t kPouringWal = 32ULL << 20;
constexpr auto kPouring = std::chrono::seconds(4);
/// Checkpoints take at most one part in so many of the time, until the WAL is twice as long as it should be.
constexpr int kShareOfTime = 4;
// An appender has buffers of its own. Where more tables than this take part, theirs are not kept for the next batch.
constexpr std::size_t kOpenAppenders = 500;
constexpr std::uintmax_t kQuietWal = 4ULL << 20;
constexpr auto kQuiet = std::chrono::milliseconds(200);

std::uintmax_t wal_size(const std::filesystem::path& path) {
  std::error_code missing;
  const auto size = std::filesystem::file_size(path.string() + ".wal", missing);
  return missing ? 0 : size;
}

}  // namespace

DuckdbSink::DuckdbSink(DuckdbSpec spec) : state_(std::make_unique<State>(std::move(spec))) {}
DuckdbSink::~DuckdbSink() = default;
sinks::SinkState DuckdbSink::open() {
  return state_->watch([&] { return state_->open(); });
}
void DuckdbSink::begin_copy(const std::vector<RelationPtr>& tables) { state_->begin_copy(tables); }
std::unique_ptr<sinks::CopyWriter> DuckdbSink::open_copy(const RelationPtr& table) { return state_->open_copy(table); }
void DuckdbSink::finish_copy(const CopiedTable& copied) {
  state_->watch([&] { state_->finish_copy(copied); });
}
void DuckdbSink::finish_copies(const Cursor& start) { state_->finish_copies(start); }
void DuckdbSink::apply(const ChangeBatch& batch) {
  state_->watch([&] { state_->apply(batch); });
}
void DuckdbSink::begin_epoch(const Cursor& at) {
  state_->watch([&] { state_->begin_epoch(at); });
}
Cursor DuckdbSink::flush() {
  return state_->watch([&] { return state_->flush(); });
}
std::optional<sinks::IncompleteRows> DuckdbSink::incomplete() { return state_->incomplete(); }
std::uint64_t DuckdbSink::incomplete_rows() const { return state_->incomplete_rows(); }
std::optional<Position> DuckdbSink::first_incomplete() const { return state_->first_incomplete(); }
std::uint64_t DuckdbSink::complete(const FencedRows& rows) {
  return state_->watch([&] { return state_->complete(rows); });
}
sinks::SideCopy* DuckdbSink::side_copy() { return state_->side_copy(); }
sinks::ResumedCopy* DuckdbSink::resumed_copy() { return state_->resumed_copy(); }
std::uint64_t DuckdbSink::mend(const Relation& relation, const std::vector<sinks::ExpectedRow>& rows) {
  return state_->watch([&] { return state_->mend(relation, rows); });
}
void DuckdbSink::replay(const sinks::LetterReplay& letters) {
  state_->watch([&] { state_->replay(letters); });
}
void DuckdbSink::maintain() {
  state_->watch([&] { state_->maintain(); });
}
void DuckdbSink::release() { state_->close(); }
sinks::SetAside DuckdbSink::set_aside() { return state_->set_aside(); }
std::optional<Position> DuckdbSink::keeps_from() const { return state_->keeps_from(); }
void DuckdbSink::hurry() { state_->hurry(); }
sinks::Counters DuckdbSink::counters() const { return state_->counters(); }
sinks::TableOutcomes DuckdbSink::take_outcomes() { return state_->take_outcomes(); }
std::vector<sinks::DeadLetter> DuckdbSink::take_dead_letters() { return state_->take_dead_letters(); }
std::vector<sinks::SinkProblem> DuckdbSink::problems() const { return state_->problems(); }

DuckdbSink::State::State(DuckdbSpec spec)
    : spec_(std::move(spec)),
      memory_(spec_.memory_limit),
      side_(std::make_unique<Side>(*this)),
      resumed_(std::make_unique<Resumed>(*this)) {
  if (!spec_.history.empty() && spec_.history_safety) safety_.emplace(spec_);
}

DuckdbSink::State::~State() = default;

sinks::SideCopy* DuckdbSink::State::side_copy() { return side_.get(); }
sinks::ResumedCopy* DuckdbSink::State::resumed_copy() { return resumed_.get(); }

sinks::SinkState DuckdbSink::State::open() {
  close();
  const std::uint64_t memory = memory_.next();
  open_database(memory);
  if (memory_.raised())
    log::warn("duckdb.memory", "{} MiB are too little for what is to be written: DuckDB may use {} MiB for it",
              memory_.given() >> 20, memory >> 20);
  connection_ = std::make_unique<Connection>(database_);
  connection_->run("SET TimeZone = 'UTC'");
  last_checkpoint_ = SteadyClock::now();
  if (catalog_name() == "tailrace")
    throw BadConfigError("TR608", "a target called \"tailrace\" could not be told from the schema of that name in it",
                         "name the target file otherwise");
  tables_on_disk_ = std::make_unique<StateTables>(*connection_);
  tables_on_disk_->open(spec_);
  durable_ = tables_on_disk_->read_cursor();
  counters_ = tables_on_disk_->read_counters();
  outcomes_.open(tables_on_disk_->read_outcomes(), counters_);
  for (auto& table : tables_on_disk_->read_tables(spec_)) adopt(std::move(table));
  if (durable_) pending_ = *durable_;
  side_->remove_leftovers();
  check_columns();
  check_history(durable_ ? durable_->commit_time : PgTime::now(), durable_ ? durable_->position.commit_end : Lsn());
  if (safety_) safety_->open(*connection_, durable_);
  return what_is_there();
}

sinks::SinkState DuckdbSink::State::what_is_there() {
  sinks::SinkState state;
  state.counters = counters_;
  const bool lost = std::ranges::any_of(tables_, [](const auto& at) { return at.second->state == TableState::kLost; });
  (lost ? state.resume : state.cursor) = durable_;
  for (const auto& [name, table] : tables_)
    if (table->state == TableState::kCopied && (lost || !table->hold))
      state.copied.push_back({table->shape.relation, table->fence, table->copied_rows});
  for (const Name& name : tables_on_disk_->tables_with_chunks()) {
    const auto found = tables_.find(name);
    if (found == tables_.end()) continue;
    const auto& table = found->second;
    if (table->state != TableState::kCopying || table->hold) continue;
    if (auto partial = tables_on_disk_->read_chunks(*table)) state.partial.push_back(std::move(*partial));
  }
  return state;
}

void DuckdbSink::State::open_database(std::uint64_t memory) {
  take_restored(spec_.path);
  try {
    database_ = Database::open(spec_.path, {memory, spec_.threads, false});
  } catch (const RefusedError& refused) {
    if (refused.code() != "TR602" || !spec_.known) throw;
    throw sinks::DamagedTarget(
        "TR605", fmt::format("{} was this pipeline's target and is no DuckDB file any more", spec_.path.string()),
        "move the file away and let Tailrace copy the tables again");
  }
}

void DuckdbSink::State::close() {
  resumed_->forget();
  if (in_transaction_) roll_back();
  side_->forget();
  by_oid_.clear();
  tables_.clear();
  tables_on_disk_.reset();
  connection_.reset();
  database_.reset();
  letters_.clear();
  memory_.released();
}

Table& DuckdbSink::State::adopt(std::unique_ptr<Table> table) {
  Table& out = *table;
  const Relation& relation = *out.shape.relation;
  out.whole_rows = whole_rows_.contains({relation.schema, relation.name});
  if (out.whole_rows) out.shape.go_by_whole_rows();
  auto& place = tables_[{relation.schema, relation.name}];
  if (place) by_oid_.erase(place->shape.relation->oid);
  by_oid_[relation.oid] = &out;
  place = std::move(table);
  return out;
}

void DuckdbSink::State::begin() {
  if (!connection_) throw RetryError("TR606", "the target is not open", "it is opened again");
  if (in_transaction_) return;
  TAILRACE_CRASH_POINT("duckdb.before_begin");
  connection_->run("BEGIN");
  in_transaction_ = true;
}

void DuckdbSink::State::roll_back() noexcept {
  for (auto& [name, table] : tables_) table->close_appenders();
  if (tables_on_disk_) tables_on_disk_->close_appender();
  connection_->roll_back();
  in_transaction_ = false;
}

Table* DuckdbSink::State::table_for(const Relation& relation, const Position& at) {
  const auto known = by_oid_.find(relation.oid);
  Table* table = known != by_oid_.end() ? known->second : nullptr;
  const bool gone = relation.standing != Standing::kFollowed;
  // Its name may be another table's by now.
  if (gone && (table == nullptr || table->shape.relation->oid != relation.oid)) return nullptr;
  if (table == nullptr) {
    const auto named = tables_.find({relation.schema, relation.name});
    if (named != tables_.end()) table = named->second.get();
  }
  if (spec_.wanted && !spec_.wanted(relation.schema, relation.name)) {
    if (table != nullptr && !table->hold) hold_left_out(*table, at);
    return nullptr;
  }
  if (table != nullptr) {
    by_oid_[relation.oid] = table;
    if (table->hold && gone != (table->hold->code == kGone)) hold_by_standing(*table, relation, at);
    return table;
  }
  return &hold_uncopied(relation, at);
}

void DuckdbSink::State::hold_left_out(Table& table, const Position& at) {
  table.hold = std::make_unique<Hold>(
      Hold{kLeftOut, "the pipeline's tables leave it out, so it stands still since " + at.commit_end.str(), at});
  tables_on_disk_->write_hold(table, PgTime::now());
}

void DuckdbSink::State::hold_by_standing(Table& table, const Relation& relation, const Position& at) {
  const bool gone = relation.standing != Standing::kFollowed;
  if (!gone && !table.hold->mended_by_copy() && table.hold->code != kGone) return;
  table.hold = std::make_unique<Hold>(
      gone ? Hold{kGone, explain(*table.shape.relation, std::make_shared<Relation>(relation)).doubt, at}
           : Hold{"TR610", "it was not followed for a while", at});
  tables_on_disk_->write_hold(table, PgTime::now());
}

Table& DuckdbSink::State::hold_uncopied(const Relation& relation, const Position& at) {
  auto table = std::make_unique<Table>(shape_of(std::make_shared<Relation>(relation)));
  table->hold =
      std::make_unique<Hold>(Hold{kNeverCopied, "the table appeared after the copy and was never copied", at});
  tables_on_disk_->write_table(*table);
  tables_on_disk_->write_hold(*table, PgTime::now());
  return adopt(std::move(table));
}

void DuckdbSink::State::apply(const ChangeBatch& batch) {
  const bool inside = in_transaction_;
  begin();
  try {
    write_batch(batch, inside);
  } catch (const SuspectTable& suspect) {
    roll_back();
    give_up(suspect);
  } catch (...) {
    roll_back();
    throw;
  }
  pending_ = batch.end;
}

void DuckdbSink::State::write_batch(const ChangeBatch& batch, bool inside) {
  BatchTables tables = tables_of(batch, inside);
  alter_tables(tables.versions);
  std::vector<std::unique_ptr<TableBatch>> touched;
  std::unordered_map<Table*, TableBatch*> by_table;
  // Each relation of a batch is looked up once, however often tables take turns; null: left out.
  std::unordered_map<const Relation*, TableBatch*> by_relation;
  const Relation* last_relation = nullptr;
  TableBatch* last = nullptr;
  for (const Change& change : batch.changes) {
    if (change.kind == ChangeKind::kMessage) {
      filter(change, "");
      continue;
    }
    if (change.relation != last_relation) {
      last_relation = change.relation;
      const auto [place, is_new] = by_relation.try_emplace(change.relation, nullptr);
      if (is_new) {
        if (Table* table = tables.by_relation.at(change.relation)) {
          TableBatch*& found = by_table[table];
          if (found == nullptr) {
            touched.push_back(
                std::make_unique<TableBatch>(*table, *tables.versions.at(table), batch, memory_.longest_row()));
            found = touched.back().get();
          }
          place->second = found;
        }
      }
      last = place->second;
    }
    if (last == nullptr) {
      if (change.kind != ChangeKind::kDescription) filter(change, change.relation->display_name());
    } else if (!last->add(change)) {
      write_table(*last);
      last->restart();
      last->add(change);
    }
  }
  provide_memory(touched);
  for (const auto& table : touched) {
    write_table(*table);
    if (touched.size() > kOpenAppenders) table->table().close_appenders();
  }
}

void DuckdbSink::State::filter(const Change& change, const std::string& table) {
  ++counters_.received;
  ++counters_.filtered;
  outcomes_.of(table).add(change.kind, sinks::Outcome::kFiltered);
}

void DuckdbSink::State::write_table(TableBatch& batch) {
  try {
    TableWriter(*connection_, batch).write();
  } catch (SuspectTable& suspect) {
    suspect.by_catalog_key = batch.shape().keyed() && batch.shape().relation->identity == ReplicaIdentity::kFull;
    throw;
  }
  record(batch);
}

void DuckdbSink::State::record(TableBatch& batch) {
  const Table& table = batch.table();
  auto& findings = batch.findings();
  counters_.received += findings.received;
  for (const sinks::Outcome outcome : sinks::kOutcomes)
    count_of(counters_, outcome) += static_cast<std::uint64_t>(findings.outcomes.total(outcome));
  outcomes_.of(table.shape.relation->display_name()) += findings.outcomes;
  for (auto& letter : findings.letters) letters_.add(std::move(letter));
  if (findings.keys_cleared) tables_on_disk_->clear_keys(table);
  for (const auto& key : findings.new_lettered) tables_on_disk_->add_letter(table, key);
  for (const auto& [key, at] : findings.passed) tables_on_disk_->pass_letter(table, key, at);
  // In this order: after a truncate a key may be dropped and noted anew.
  for (const auto& key : findings.no_longer_incomplete) tables_on_disk_->drop_incomplete(table, key);
  for (const auto& [key, row] : findings.new_incomplete) tables_on_disk_->put_incomplete(table, key, row);
  if (findings.newly_held) {
    tables_on_disk_->write_hold(table, PgTime::now());
    log::warn("duckdb.held", "table {} is held: {}", table.shape.relation->display_name(), table.hold->reason);
  }
}

void DuckdbSink::State::give_up(const SuspectTable& suspect) {
  const auto& [suspected, at, reason, by_catalog_key] = suspect;
  Table& table = *suspected;
  // What the batch had altered is as it was.
  table.shape = shape_of(tables_on_disk_->relation(table.shape.relation->oid));
  if (table.whole_rows) table.shape.go_by_whole_rows();
  const Relation& relation = *table.shape.relation;
  // Letters and incomplete rows are known by their key alone.
  if (by_catalog_key && !tables_on_disk_->has_keys(table)) {
    whole_rows_.emplace(relation.schema, relation.name);
    throw RetryError("TR619",
                     fmt::format("the key of table {} does not tell its rows apart at {} ({}): whole rows are compared",
                                 relation.display_name(), at.str(), reason),
                     "none needed");
  }
  table.hold = std::make_unique<Hold>(Hold{"TR612", reason, at});
  connection_->run("BEGIN");
  tables_on_disk_->write_hold(table, PgTime::now());
  connection_->run("COMMIT");
  log::warn("duckdb.held", "table {} is held: {}", relation.display_name(), reason);
  throw RetryError("TR612",
                   fmt::format("table {} is not what it must be ({}); it is held", relation.display_name(), reason),
                   "none: the other tables go on, and this one is copied again beside the stream");
}

Cursor DuckdbSink::State::flush() {
  if (!in_transaction_ && durable_ && pending_ == *durable_) return *durable_;
  begin();
  try {
    tables_on_disk_->write_cursor(spec_, pending_, counters_, PgTime::now());
    tables_on_disk_->write_outcomes(outcomes_);
    TAILRACE_CRASH_POINT("duckdb.before_commit");
    connection_->run("COMMIT");
  } catch (...) {
    roll_back();
    throw;
  }
  TAILRACE_CRASH_POINT("duckdb.after_commit");
  in_transaction_ = false;
  outcomes_.settle();
  last_commit_ = SteadyClock::now();
  durable_ = pending_;
  return *durable_;
}

void DuckdbSink::State::maintain() {
  // A checkpoint beside writers of another connection is not what the soak has tried.
  if (!connection_ || in_transaction_ || side_->under_way()) return;
  const auto wal = wal_size(spec_.path);
  const auto now = SteadyClock::now();
  const auto since = now - last_checkpoint_;
  const bool quiet = now - last_commit_ > kQuiet;
  const bool affordable = since >= kShareOfTime * checkpoint_took_ || wal >= 2 * kBusyWal;
  const auto busy = bound_or_tested("BUSY_WAL", since < kPouring ? kPouringWal : kBusyWal);
  if ((affordable && (wal >= busy || memory_.crowded())) || (quiet && wal >= kQuietWal)) checkpoint();
  if (safety_ && durable_ && safety_->due(*durable_, now, std::exchange(hurried_, false))) export_histories(now);
}

void DuckdbSink::State::checkpoint() {
  TAILRACE_CRASH_POINT("duckdb.before_checkpoint");
  const auto began = SteadyClock::now();
  Result result;
  const auto state = duckdb_query(connection_->get(), "CHECKPOINT", result.get());
  result.adopt();
  if (state == DuckDBError) {
    const auto type = duckdb_result_error_type(result.get());
    const char* message = duckdb_result_error(result.get());
    const std::string_view text = message == nullptr ? "" : message;
    // Somebody reads: the checkpoint is done another time.
    if (type == DUCKDB_ERROR_TRANSACTION && text.find(" block") == std::string_view::npos) return;
    throw_duckdb_error(type, text, "checkpoint");
  }
  TAILRACE_CRASH_POINT("duckdb.after_checkpoint");
  memory_.released();
  last_checkpoint_ = SteadyClock::now();
  checkpoint_took_ = last_checkpoint_ - began;
  log::debug("duckdb.checkpoint", "checkpoint in {} ms",
             std::chrono::duration_cast<std::chrono::milliseconds>(checkpoint_took_).count());
  restore_memory();
}

std::vector<sinks::SinkProblem> DuckdbSink::State::problems() const {
  const auto copy_again = [this](const std::string& table) {
    return fmt::format("copy it again while the stream goes on: tailrace snapshot {} {}", spec_.pipeline, table);
  };
  std::vector<sinks::SinkProblem> problems;
  if (safety_ && !safety_->failure().empty())
    problems.push_back({"TR628", spec_.path.filename().string(),
                        "the histories' safety falls behind: " + safety_->failure(),
                        "make room on the disk of the target; it is tried again every minute"});
  for (const auto& [name, table] : tables_) {
    const std::string shown = table->shape.relation->display_name();
    if (table->hold)
      problems.push_back({table->hold->code, shown, fmt::format("table {} is held: {}", shown, table->hold->reason),
                          table->hold->mended_by_copy() ? "none: it is copied beside the stream"
                          : table->hold->code == kGone  ? "none: it is copied again if it comes back"
                                                        : copy_again(shown),
                          table->hold->lack()});
    if (!table->incomplete.empty())
      problems.push_back(
          {"TR613", shown,
           fmt::format("{} rows of {} lack a value that was never sent", table->incomplete.size(), shown),
           "none at first: they are read from the source; if they stay, " + copy_again(shown)});
    if (!table->lettered.empty())
      problems.push_back(
          {"TR615", shown, fmt::format("{} rows of {} are dead letters", table->lettered.size(), shown),
           "look at `tailrace dlq list`: replay them with other values, or make such columns text (on_unrepresentable: "
           "text) with a new copy"});
  }
  return problems;
}

}  // namespace tailrace::duckdb
