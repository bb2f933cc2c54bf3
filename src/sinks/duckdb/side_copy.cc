#include "sinks/duckdb/side_copy.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "sinks/duckdb/alteration.h"
#include "sinks/duckdb/batch_versions.h"
#include "sinks/duckdb/copy_writer.h"
#include "sinks/duckdb/table_writer.h"

namespace tailrace::duckdb {
namespace {

constexpr const char* kPrefix = "copy_of_";

/// A column as it is compared: by its text where equal values may print differently (the sign of zero, a month or its
/// days), which DuckDB's sorts and hashes do not tell apart.
std::string compared(const TableShape& shape, std::size_t column) {
  const TargetType& type = shape.types[column];
  const bool as_text = type.shape == Shape::kFloat || type.shape == Shape::kDouble || type.shape == Shape::kInterval;
  return identifier(shape.relation->columns[column].name) + (as_text ? "::VARCHAR" : "");
}

std::string same_row(const TableShape& shape) {
  std::string out;
  for (std::size_t n = 0; n < shape.width(); ++n)
    out += fmt::format("{}m.c{} IS NOT DISTINCT FROM h.c{}", n == 0 ? "" : " AND ", n, n);
  return out;
}

/// The rows of a table with their places; equal ones are numbered where no key tells them apart.
std::string numbered(const TableShape& shape, const std::string& table, const std::string& only) {
  std::string values;
  std::string all;
  for (std::size_t n = 0; n < shape.width(); ++n) {
    values += fmt::format("{} AS c{}, ", compared(shape, n), n);
    all += (n == 0 ? "" : ", ") + compared(shape, n);
  }
  const std::string place = shape.keyed() ? "1" : "row_number() OVER (PARTITION BY " + all + ")";
  return fmt::format("(SELECT {}rowid AS rid, {} AS k FROM {} WHERE {})", values, place, table, only);
}

/// Columns with their types. Schema changes leave others behind.
bool has_all(const std::vector<TextRow>& there, const std::vector<TextRow>& wanted) {
  return std::ranges::all_of(
      wanted, [&there](const TextRow& column) { return std::ranges::find(there, column) != there.end(); });
}

}  // namespace

void give_up_copy(const Table& hidden, const std::string& why) {
  throw RetryError("TR640", fmt::format("the copy of {} is void: {}", hidden.shape.relation->display_name(), why),
                   "none needed: it is made again under a new snapshot");
}

std::vector<sinks::TableName> DuckdbSink::State::Side::wanted() const {
  std::vector<sinks::TableName> names;
  for (const auto& [name, table] : state_.tables_)
    if (table->hold && table->hold->mended_by_copy()) names.push_back(name);
  return names;
}

void DuckdbSink::State::Side::remove_leftovers() {
  for (const TextRow& row : state_.connection_->rows(
           "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = "
           "'tailrace'"))
    if (row[0].second.starts_with(kPrefix)) state_.connection_->run("DROP TABLE tailrace." + identifier(row[0].second));
}

sinks::SidePlace DuckdbSink::State::Side::begin(const RelationPtr& table, const std::string& where) {
  if (state_.in_transaction_) throw DefectError("a copy begins inside a transaction");
  drop();
  if (where.empty()) {
    state_.refuse_new_names(table);
  } else {
    refuse_part(table, where);
  }
  where_ = where;
  TableShape shape(table, state_.spec_.on_unrepresentable, state_.spec_.rules.get());
  hidden_ = std::make_unique<Table>(std::move(shape));
  hidden_->stored_as = {"tailrace", kPrefix + std::to_string(table->oid.value())};
  state_.write_alone([this] {
    state_.connection_->run(fmt::format("CREATE TABLE {}({})", hidden_->mirror_name(), column_list(hidden_->shape)));
  });
  state_.letters_.take_copied_keys(table->schema, table->name);
  TAILRACE_CRASH_POINT("duckdb.side_begun");
  sinks::LetterBox& letters = where.empty() ? state_.letters_ : known_letters_;
  sinks::SidePlace place;
  place.make_writer = [this, &letters, shape = hidden_->shape, stored_as = *hidden_->stored_as] {
    return make_copy_writer(state_.database_, shape, stored_as, letters, state_.memory_, state_.faults_);
  };
  if (!where.empty()) place.suspects = suspects_of_part();
  return place;
}

void DuckdbSink::State::Side::loaded(const CopiedTable& copied) {
  const Relation& relation = *copied.relation;
  hidden_->state = TableState::kCopied;
  hidden_->fence = copied.fence;
  hidden_->copied_rows = copied.rows;
  if (!where_.empty()) return part_loaded();
  for (std::string& key : state_.letters_.take_copied_keys(relation.schema, relation.name))
    if (!key.empty()) hidden_->lettered.emplace(std::move(key), Position{});
}

void DuckdbSink::State::Side::replay(const ChangeBatch& batch, const Position& until) {
  state_.watch([&] { write_replay(batch, until); });
}

void DuckdbSink::State::Side::merge() {
  state_.watch([this] { where_.empty() ? write_merge() : merge_part(); });
}

void DuckdbSink::State::Side::write_replay(const ChangeBatch& batch, const Position& until) {
  const Oid oid = hidden_->shape.relation->oid;
  std::vector<const Change*> changes;
  BatchVersions versions(*hidden_, state_.spec_);
  for (const Change& change : batch.changes) {
    if (change.relation == nullptr || change.relation->oid != oid) continue;
    const Transaction& transaction = batch.transactions[change.transaction];
    const Position at = transaction.position(change.ordinal);
    if (at > until) break;
    if (hidden_->fence.contains(transaction.xid, transaction.commit_end)) continue;
    if (change.kind == ChangeKind::kDescription && at.commit_end <= hidden_->fence.end) continue;
    versions.add(change, at, false);
    changes.push_back(&change);
  }
  if (changes.empty()) return;
  if (versions.refused() != nullptr) give_up_copy(*hidden_, versions.hold().reason);
  if (versions.alters()) give_up_copy(*hidden_, "the table was altered meanwhile");
  state_.begin();
  try {
    versions.alter(*state_.connection_);
    if (!where_.empty()) changes = changes_of_part(changes);
    TableBatch folded(*hidden_, versions, batch, state_.memory_.longest_row());
    for (const Change* change : changes) {
      if (folded.add(*change)) continue;
      write_replayed(folded);
      folded.restart();
      folded.add(*change);
    }
    write_replayed(folded);
    state_.connection_->run("COMMIT");
  } catch (const SuspectTable& suspect) {
    state_.roll_back();
    give_up_copy(*hidden_, suspect.reason);
  } catch (...) {
    state_.roll_back();
    throw;
  }
  state_.in_transaction_ = false;
  if (hidden_->hold) give_up_copy(*hidden_, hidden_->hold->reason);
}

void DuckdbSink::State::Side::write_replayed(TableBatch& batch) {
  TableWriter(*state_.connection_, batch).write();
  for (auto& letter : batch.findings().letters) state_.letters_.add(std::move(letter));
}

std::vector<TextRow> DuckdbSink::State::Side::columns_of(const std::string& schema, const std::string& table) {
  return state_.connection_->rows(
      fmt::format("SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = current_database() AND "
                  "schema_name = {} AND table_name = {} ORDER BY column_index",
                  literal(schema), literal(table)));
}

void DuckdbSink::State::Side::compare(const std::string& table, const std::string& only) {
  const TableShape& shape = hidden_->shape;
  const std::string row = same_row(shape);
  std::string match;
  if (shape.keyed()) {
    for (const std::size_t n : shape.key) match += fmt::format("{}m.c{} = h.c{}", match.empty() ? "" : " AND ", n, n);
  } else {
    match = row + " AND m.k = h.k";
  }
  const std::string there = numbered(shape, table, only);
  const std::string copied = numbered(shape, hidden_->mirror_name(), "true");
  const auto lacks = [&](const char* name, const char* side, const std::string& left, const std::string& right) {
    const char* other = *side == 'm' ? "h" : "m";
    state_.connection_->run(
        fmt::format("CREATE OR REPLACE TEMP TABLE {} AS SELECT {}.rid AS rid FROM {} AS {} LEFT JOIN {} AS {} ON {} "
                    "WHERE {}.k IS NULL{}",
                    name, side, left, side, right, other, match, other, shape.keyed() ? " OR NOT (" + row + ")" : ""));
  };
  lacks("tailrace_gone", "m", there, copied);
  lacks("tailrace_fresh", "h", copied, there);
}

DuckdbSink::State::Side::Difference DuckdbSink::State::Side::merge_mirror(const Table& table) {
  compare(table.mirror_name(), of_part());
  const std::string mirror = table.mirror_name();
  Difference difference;
  difference.gone =
      state_.connection_->run(fmt::format("DELETE FROM {} WHERE rowid IN (FROM temp.tailrace_gone)", mirror));
  difference.fresh = state_.connection_->run(
      fmt::format("INSERT INTO {0} ({1}) SELECT {1} FROM {2} WHERE rowid IN (FROM temp.tailrace_fresh)", mirror,
                  listed_columns(*hidden_->shape.relation), hidden_->mirror_name()));
  return difference;
}

/// What differs became known here, at the cursor; when it came to be so, nobody can tell.
void DuckdbSink::State::Side::merge_history(const Table& table) {
  const std::string history = table.history_name();
  compare(history, "is_current AND " + of_part());
  const Cursor& cursor = *state_.durable_;
  const auto moment = state_.connection_
                          ->rows(fmt::format("SELECT epoch_us(greatest(make_timestamptz({}), max(effective_from), "
                                             "max(effective_to)))::VARCHAR FROM {}",
                                             cursor.commit_time.unix_micros(), history))
                          .front()
                          .front()
                          .second;
  const std::uint64_t lsn = cursor.position.commit_end.value();
  state_.connection_->run(fmt::format(
      "INSERT INTO {0} BY NAME SELECT {1} FROM {0} AS h WHERE h.rowid IN (FROM temp.tailrace_gone)", history,
      ended_version(fmt::format("make_timestamptz({})", moment), fmt::format("{}::UBIGINT", lsn),
                    fmt::format("{}::UBIGINT", cursor.seq.value()))));
  state_.connection_->run(fmt::format("DELETE FROM {} WHERE rowid IN (FROM temp.tailrace_gone)", history));
  state_.connection_->run(fmt::format(
      "INSERT INTO {0} ({1}, effective_from, is_current, from_lsn, from_seq) SELECT {1}, make_timestamptz({2}), true, "
      "{3}, {4} FROM {5} WHERE rowid IN (FROM temp.tailrace_fresh)",
      history, listed_columns(*hidden_->shape.relation), moment, lsn, cursor.seq.value(), hidden_->mirror_name()));
}

void DuckdbSink::State::Side::write_state(const Table& table) {
  StateTables& state = *state_.tables_on_disk_;
  state.clear_keys(table);
  for (const auto& [key, passed] : table.lettered) state.add_letter(table, key, passed);
  for (const auto& [key, row] : table.incomplete) state.put_incomplete(table, key, row);
  state.write_table(table);
  state.write_hold(table, PgTime::now());
}

DuckdbSink::State::Side::Difference DuckdbSink::State::Side::replace_mirror(const Table& table) {
  Connection& sql = *state_.connection_;
  sql.run("CREATE SCHEMA IF NOT EXISTS " + identifier(table.shape.relation->schema));
  sql.run("DROP TABLE IF EXISTS " + table.mirror_name());
  sql.run(fmt::format("CREATE TABLE {}({})", table.mirror_name(), column_list(table.shape)));
  Difference difference;
  difference.fresh = sql.run(fmt::format("INSERT INTO {} FROM {}", table.mirror_name(), hidden_->mirror_name()));
  return difference;
}

void DuckdbSink::State::Side::write_merge() {
  const RelationPtr relation = hidden_->shape.relation;
  const std::string history_table = relation->name + "__history";
  auto table = std::make_unique<Table>(state_.shape_of(relation));
  table->state = TableState::kCopied;
  table->fence = hidden_->fence;
  table->copied_rows = hidden_->copied_rows;
  table->lettered = hidden_->lettered;
  table->incomplete = hidden_->incomplete;
  const auto copied = columns_of(hidden_->stored_as->first, hidden_->stored_as->second);
  const auto mirrored = columns_of(relation->schema, relation->name);
  const auto kept = columns_of(relation->schema, history_table);
  const auto old = state_.tables_.find({relation->schema, relation->name});
  const Hold* hold = old == state_.tables_.end() ? nullptr : old->second->hold.get();
  const bool behind_gap = hold != nullptr && hold->code == kBehindGap;
  const bool mirror_fits = has_all(mirrored, copied);
  // Nobody is to read across a gap without knowing.
  const bool history_fits = has_all(kept, copied) && !behind_gap;
  table->mirror_in_order = !mirror_fits || mirrored == copied;
  table->history_in_order = !history_fits || (kept.size() == copied.size() + kHistoryColumnNames.size() &&
                                              std::equal(copied.begin(), copied.end(), kept.begin()));
  const Cursor& cursor = *state_.durable_;
  const Lsn until = behind_gap ? hold->at.commit_end : cursor.position.commit_end;
  Difference difference;
  // What is shown of the table, its history included, begins here, unless it goes on.
  table->fence.end = cursor.position.commit_end;
  if (old != state_.tables_.end()) {
    old->second->close_appenders();
    if (mirror_fits && (history_fits || !table->shape.history) && old->second->state == TableState::kCopied) {
      table->fence = old->second->fence;
      table->copied_rows = old->second->copied_rows;
    }
  }
  hidden_->close_appenders();
  state_.write_alone([&] {
    Connection& sql = *state_.connection_;
    // DuckDB wants what alters tables before what deletes rows.
    if (table->shape.history && !kept.empty() && !history_fits)
      sql.run(fmt::format("ALTER TABLE {} RENAME TO {}", table->history_name(),
                          identifier(fmt::format("{}_until_{}", history_table, until.value()))));
    if (table->shape.history && history_fits) make_as_of(sql, *table);
    difference = mirror_fits ? merge_mirror(*table) : replace_mirror(*table);
    TAILRACE_CRASH_POINT("duckdb.side_mirror_merged");
    if (table->shape.history) {
      if (history_fits)
        merge_history(*table);
      else
        state_.create_history(*table, cursor.commit_time, cursor.position.commit_end);
    }
    write_state(*table);
    sql.run("DROP TABLE IF EXISTS temp.tailrace_gone");
    sql.run("DROP TABLE IF EXISTS temp.tailrace_fresh");
    TAILRACE_CRASH_POINT("duckdb.side_before_commit");
  });
  TAILRACE_CRASH_POINT("duckdb.side_merged");
  log::info("duckdb.merged", "{}: {} rows went, {} came", relation->display_name(), difference.gone, difference.fresh);
  state_.adopt(std::move(table));
  drop();
}

void DuckdbSink::State::Side::forget() {
  hidden_.reset();
  where_.clear();
  known_letters_.clear();
}

void DuckdbSink::State::Side::drop() {
  if (!hidden_) return;
  const std::string name = hidden_->mirror_name();
  const std::string missed = missed_name();
  forget();
  if (!state_.connection_ || state_.in_transaction_) return;
  state_.write_alone([&] {
    state_.connection_->run("DROP TABLE IF EXISTS " + name);
    state_.connection_->run("DROP TABLE IF EXISTS " + missed);
  });
}

}  // namespace tailrace::duckdb
