#include "sinks/duckdb/state_tables.h"

#include <fmt/format.h>

#include <charconv>

#include "base/crash_point.h"
#include "sinks/damaged_target.h"
#include "sinks/duckdb/state_format.h"

namespace tailrace::duckdb {
namespace {

std::uint64_t number(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::int64_t signed_number(const std::string& text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

TableState state_of(const std::string& name) {
  if (name == "lost") return TableState::kLost;
  return name == "copied" ? TableState::kCopied : TableState::kCopying;
}

const char* name_of(TableState state) {
  switch (state) {
    case TableState::kCopied: return "copied";
    case TableState::kLost: return "lost";
    case TableState::kCopying: break;
  }
  return "copying";
}

std::string of(const Table& table) {
  return fmt::format("schema_name = {} AND table_name = {}", literal(table.shape.relation->schema),
                     literal(table.shape.relation->name));
}

/// From three columns, the first being `column`.
Position position_of(const TextRow& row, std::size_t column) {
  return {static_cast<std::uint32_t>(number(row[column].second)), Lsn(number(row[column + 1].second)),
          number(row[column + 2].second)};
}

SnapshotXids snapshot_of(const std::string& text, const Table& table, const DuckdbSpec& spec) {
  if (const auto snapshot = SnapshotXids::parse(text)) return *snapshot;
  throw sinks::DamagedTarget("TR605",
                             fmt::format("{}: what tailrace.tables says of the copy of {} cannot be read",
                                         spec.path.string(), table.shape.relation->display_name()),
                             "move the file away and let Tailrace copy the tables again");
}

}  // namespace

void StateTables::open(const DuckdbSpec& spec) {
  const std::optional<std::uint64_t> format = state_format(connection_, spec);
  if (!format) {
    create_state(connection_, spec);
  } else if (*format < kStateFormat) {
    upgrade_state(connection_, spec, *format);
  }
}

std::optional<Cursor> StateTables::read_cursor() {
  const auto rows = connection_.rows(
      "SELECT epoch::VARCHAR, commit_lsn::VARCHAR, ordinal::VARCHAR, seq::VARCHAR, epoch_us(commit_time)::VARCHAR "
      "FROM tailrace.cursor");
  if (rows.empty()) return std::nullopt;
  if (rows.size() > 1)
    throw sinks::DamagedTarget("TR605", fmt::format("tailrace.cursor has {} rows instead of one", rows.size()),
                               "move the file away and let Tailrace copy the tables again");
  const TextRow& row = rows.front();
  Cursor cursor;
  cursor.position.epoch = static_cast<std::uint32_t>(number(row[0].second));
  cursor.position.commit_end = Lsn(number(row[1].second));
  cursor.position.ordinal = number(row[2].second);
  cursor.seq = Seq(number(row[3].second));
  cursor.commit_time = PgTime::from_unix_micros(signed_number(row[4].second));
  return cursor;
}

sinks::Counters StateTables::read_counters() {
  const auto rows = connection_.rows(
      "SELECT received::VARCHAR, applied::VARCHAR, filtered::VARCHAR, dead_lettered::VARCHAR, held::VARCHAR "
      "FROM tailrace.cursor");
  sinks::Counters counters;
  if (rows.empty()) return counters;
  const TextRow& row = rows.front();
  counters.received = number(row[0].second);
  counters.applied = number(row[1].second);
  counters.filtered = number(row[2].second);
  counters.dead_lettered = number(row[3].second);
  counters.held = number(row[4].second);
  if (counters.received != counters.applied + counters.filtered + counters.dead_lettered + counters.held)
    throw sinks::DamagedTarget("TR605", "the counters in tailrace.cursor do not add up",
                               "move the file away and let Tailrace copy the tables again");
  return counters;
}

std::vector<std::unique_ptr<Table>> StateTables::read_tables(const DuckdbSpec& spec) {
  std::vector<std::unique_ptr<Table>> tables;
  TablesByName by_name;
  for (const TextRow& row : connection_.rows("SELECT relation, state, snapshot, fence_lsn::VARCHAR, "
                                             "copied_rows::VARCHAR FROM tailrace.tables")) {
    TableShape shape(decode_relation(row[0].second), spec.on_unrepresentable, spec.rules.get());
    shape.history = keeps_history(spec, shape.relation->schema, shape.relation->name);
    shape.intermediate = spec.history_intermediate;
    shape.apply_later = spec.apply_later;
    auto table = std::make_unique<Table>(std::move(shape));
    table->state = state_of(row[1].second);
    if (row[2].first) table->fence.snapshot = snapshot_of(row[2].second, *table, spec);
    table->fence.end = Lsn(number(row[3].second));
    table->copied_rows = number(row[4].second);
    by_name[{table->shape.relation->schema, table->shape.relation->name}] = table.get();
    tables.push_back(std::move(table));
  }
  read_keys(by_name);
  read_holds(by_name);
  return tables;
}

void StateTables::read_keys(const TablesByName& tables) {
  for (const TextRow& row :
       connection_.rows("SELECT schema_name, table_name, key, coalesce(epoch, 0)::VARCHAR, coalesce(commit_lsn, "
                        "0)::VARCHAR, coalesce(ordinal, 0)::VARCHAR FROM tailrace.letters"))
    if (const auto table = tables.find({row[0].second, row[1].second}); table != tables.end())
      table->second->lettered.emplace(row[2].second, position_of(row, 3));
  for (const TextRow& row : connection_.rows(
           "SELECT schema_name, table_name, key, epoch::VARCHAR, commit_lsn::VARCHAR, ordinal::VARCHAR, seq::VARCHAR, "
           "epoch_us(since)::VARCHAR, xid::VARCHAR FROM tailrace.incomplete")) {
    const auto table = tables.find({row[0].second, row[1].second});
    if (table == tables.end()) continue;
    IncompleteRow incomplete;
    incomplete.at = position_of(row, 3);
    incomplete.seq = Seq(number(row[6].second));
    incomplete.since = PgTime::from_unix_micros(signed_number(row[7].second));
    incomplete.xid = Xid(static_cast<std::uint32_t>(number(row[8].second)));
    table->second->incomplete.emplace(row[2].second, incomplete);
  }
}

void StateTables::read_holds(const TablesByName& tables) {
  for (const TextRow& row : connection_.rows("SELECT schema_name, table_name, code, reason, epoch::VARCHAR, "
                                             "commit_lsn::VARCHAR, ordinal::VARCHAR FROM tailrace.lanes"))
    if (const auto table = tables.find({row[0].second, row[1].second}); table != tables.end())
      table->second->hold = std::make_unique<Hold>(Hold{row[2].second, row[3].second, position_of(row, 4)});
}

void StateTables::write_cursor(const DuckdbSpec& spec, const Cursor& cursor, const sinks::Counters& counters,
                               PgTime now) {
  if (!delete_cursor_) {
    delete_cursor_.emplace(connection_, "DELETE FROM tailrace.cursor");
    insert_cursor_.emplace(
        connection_, "INSERT INTO tailrace.cursor VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, ?, ?, ?, ?, ?)");
  }
  delete_cursor_->run();
  insert_cursor_->bind(std::string_view(spec.pipeline))
      .bind(std::string_view(spec.source_id))
      .bind(std::uint64_t{cursor.position.epoch})
      .bind(cursor.position.commit_end.value())
      .bind(cursor.position.ordinal)
      .bind(cursor.seq.value())
      .bind_time(cursor.commit_time.unix_micros())
      .bind_time(now.unix_micros())
      .bind(counters.received)
      .bind(counters.applied)
      .bind(counters.filtered)
      .bind(counters.dead_lettered)
      .bind(counters.held)
      .run();
}

sinks::TableOutcomes StateTables::read_outcomes() {
  sinks::TableOutcomes all;
  outcome_rows_there_ = 0;
  for (const TextRow& row : connection_.rows("SELECT table_name, operation::VARCHAR, applied::VARCHAR, "
                                             "filtered::VARCHAR, dead_lettered::VARCHAR, held::VARCHAR, "
                                             "rows::VARCHAR FROM (SELECT table_name, operation, sum(applied) AS "
                                             "applied, sum(filtered) AS filtered, sum(dead_lettered) AS "
                                             "dead_lettered, sum(held) AS held, count(*) AS rows FROM "
                                             "tailrace.outcomes GROUP BY ALL)")) {
    outcome_rows_there_ += number(row[6].second);
    for (std::size_t operation = 0; operation < sinks::OutcomeCounts::kOperations; ++operation) {
      if (row[1].second != sinks::OutcomeCounts::operation_name(operation)) continue;
      for (std::size_t n = 0; n < sinks::kOutcomes.size(); ++n)
        all[row[0].second].set(operation, sinks::kOutcomes[n], signed_number(row[2 + n].second));
    }
  }
  return all;
}

void StateTables::write_outcomes(const sinks::Outcomes& outcomes) {
  if (outcomes.before().empty()) return;
  // Appending is all that a commit has to pay; the rows are summed up once there are many.
  constexpr std::uint64_t kManyRows = 20'000;
  const bool sum_up = outcome_rows_there_ > bound_or_tested("OUTCOME_ROWS", kManyRows) + 10 * outcomes.all().size();
  if (sum_up) {
    outcome_rows_.reset();
    connection_.run("DELETE FROM tailrace.outcomes");
    outcome_rows_there_ = 0;
    for (const auto& [table, counts] : outcomes.all()) append_outcomes(table, counts);
  } else {
    for (const auto& [table, before] : outcomes.before()) {
      sinks::OutcomeCounts added = outcomes.all().at(table);
      added -= before;
      append_outcomes(table, added);
    }
  }
  if (outcome_rows_) outcome_rows_->flush();
}

void StateTables::append_outcomes(const std::string& table, const sinks::OutcomeCounts& counts) {
  if (!outcome_rows_) {
    const TargetType text{};
    outcome_rows_ = std::make_unique<RowAppender>(connection_, "tailrace", "outcomes", std::vector{text, text});
  }
  for (std::size_t operation = 0; operation < sinks::OutcomeCounts::kOperations; ++operation) {
    const std::string_view name = sinks::OutcomeCounts::operation_name(operation);
    bool any = false;
    for (const sinks::Outcome outcome : sinks::kOutcomes) any = any || counts.of(operation, outcome) != 0;
    if (!any) continue;
    outcome_rows_->put(0, {FieldKind::kText, table});
    outcome_rows_->put(1, {FieldKind::kText, name});
    for (std::size_t n = 0; n < sinks::kOutcomes.size(); ++n)
      outcome_rows_->set_int64(2 + n, counts.of(operation, sinks::kOutcomes[n]));
    outcome_rows_->end_row();
    ++outcome_rows_there_;
  }
}

void StateTables::write_table(const Table& table) {
  connection_.run("DELETE FROM tailrace.tables WHERE " + of(table));
  Statement(connection_, "INSERT INTO tailrace.tables VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(std::string_view(table.shape.relation->schema))
      .bind(std::string_view(table.shape.relation->name))
      .bind(std::uint64_t{table.shape.relation->oid.value()})
      .bind(std::string_view(name_of(table.state)))
      .bind_blob(encode_relation(*table.shape.relation))
      .bind(std::string_view(table.fence.snapshot.str()))
      .bind(table.fence.end.value())
      .bind(table.copied_rows)
      .run();
}

std::vector<std::pair<std::string, std::string>> StateTables::tables_with_chunks() {
  std::vector<std::pair<std::string, std::string>> names;
  for (const TextRow& row : connection_.rows("SELECT DISTINCT schema_name, table_name FROM tailrace.chunks"))
    names.emplace_back(row[0].second, row[1].second);
  return names;
}

std::optional<sinks::PartialCopy> StateTables::read_chunks(const Table& table) {
  sinks::PartialCopy partial{table.shape.relation, {}, {}, 0};
  std::optional<std::string> snapshot;
  for (const TextRow& row : connection_.rows("SELECT first_page::VARCHAR, end_page::VARCHAR, snapshot, "
                                             "fence_lsn::VARCHAR FROM tailrace.chunks WHERE " +
                                             of(table))) {
    const PageRange range{number(row[0].second), number(row[1].second)};
    const auto xids = SnapshotXids::parse(row[2].second);
    if (range.end <= range.first || !xids || snapshot.value_or(row[2].second) != row[2].second) return std::nullopt;
    snapshot = row[2].second;
    partial.fence.snapshot = *xids;
    partial.fence.end = Lsn(number(row[3].second));
    partial.done.push_back(range);
  }
  if (partial.done.empty()) return std::nullopt;
  partial.rows = number(connection_.rows("SELECT count(*)::VARCHAR FROM " + table.mirror_name())[0][0].second);
  return partial;
}

void StateTables::add_chunk(Connection& reader, const std::pair<std::string, std::string>& table,
                            const PageRange& range, const Fence& fence) {
  Statement(reader, "INSERT INTO tailrace.chunks VALUES (?, ?, ?, ?, ?, ?)")
      .bind(std::string_view(table.first))
      .bind(std::string_view(table.second))
      .bind(range.first)
      .bind(range.end)
      .bind(std::string_view(fence.snapshot.str()))
      .bind(fence.end.value())
      .run();
}

void StateTables::move_chunks(const Table& table, const Fence& fence) {
  const auto ranges =
      connection_.rows("SELECT first_page::VARCHAR, end_page::VARCHAR FROM tailrace.chunks WHERE " + of(table));
  clear_chunks(table);
  for (const TextRow& row : ranges)
    add_chunk(connection_, {table.shape.relation->schema, table.shape.relation->name},
              {number(row[0].second), number(row[1].second)}, fence);
}

void StateTables::clear_chunks(const Table& table) {
  connection_.run("DELETE FROM tailrace.chunks WHERE " + of(table));
}

void StateTables::rename(const Relation& from, const Relation& to) {
  const std::string old_name =
      fmt::format("schema_name = {} AND table_name = {}", literal(from.schema), literal(from.name));
  // Rows are never updated in place: beside an older reader that would keep checkpoints from being made.
  for (const char* kept : {"tables", "lanes", "letters", "incomplete", "baselines"}) {
    connection_.run(fmt::format(
        "CREATE OR REPLACE TEMP TABLE tailrace_renamed AS SELECT * REPLACE ({} AS schema_name, {} AS table_name) FROM "
        "tailrace.{} WHERE {}",
        literal(to.schema), literal(to.name), kept, old_name));
    connection_.run(fmt::format("DELETE FROM tailrace.{} WHERE {}", kept, old_name));
    connection_.run(fmt::format("INSERT INTO tailrace.{} FROM temp.tailrace_renamed", kept));
  }
  connection_.run("DROP TABLE temp.tailrace_renamed");
}

RelationPtr StateTables::relation(Oid oid) {
  const auto rows = connection_.rows(fmt::format("SELECT relation FROM tailrace.tables WHERE oid = {}", oid.value()));
  if (rows.empty()) throw DefectError(fmt::format("the target does not know table {}", oid.value()));
  return decode_relation(rows.front().front().second);
}

void StateTables::write_hold(const Table& table, PgTime now) {
  connection_.run("DELETE FROM tailrace.lanes WHERE " + of(table));
  if (!table.hold) return;
  Statement(connection_, "INSERT INTO tailrace.lanes VALUES (?, ?, 'held', ?, ?, ?, ?, ?, ?)")
      .bind(std::string_view(table.shape.relation->schema))
      .bind(std::string_view(table.shape.relation->name))
      .bind(std::uint64_t{table.hold->at.epoch})
      .bind(table.hold->at.commit_end.value())
      .bind(table.hold->at.ordinal)
      .bind(std::string_view(table.hold->code))
      .bind(std::string_view(table.hold->reason))
      .bind_time(now.unix_micros())
      .run();
}

void StateTables::write_baseline(const Table& table, PgTime since, Lsn from) {
  connection_.run("DELETE FROM tailrace.baselines WHERE " + of(table));
  Statement(connection_, "INSERT INTO tailrace.baselines VALUES (?, ?, ?, ?, ?, NULL)")
      .bind(std::string_view(table.shape.relation->schema))
      .bind(std::string_view(table.shape.relation->name))
      .bind_time(since.unix_micros())
      .bind(from.value())
      .bind(table.copied_rows)
      .run();
}

void StateTables::stop_history(const Table& table, std::optional<Lsn> at) {
  const std::string until = at ? fmt::format("{}", at->value()) : "NULL";
  connection_.run(
      fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_baseline AS SELECT * REPLACE ({}::UBIGINT AS "
                  "kept_until) FROM tailrace.baselines WHERE {}",
                  until, of(table)));
  connection_.run("DELETE FROM tailrace.baselines WHERE " + of(table));
  connection_.run("INSERT INTO tailrace.baselines FROM temp.tailrace_baseline");
  connection_.run("DROP TABLE temp.tailrace_baseline");
}

std::map<std::pair<std::string, std::string>, Lsn> StateTables::stopped_histories() {
  std::map<std::pair<std::string, std::string>, Lsn> stopped;
  for (const TextRow& row : connection_.rows("SELECT schema_name, table_name, kept_until::VARCHAR FROM "
                                             "tailrace.baselines WHERE kept_until IS NOT NULL"))
    stopped[{row[0].second, row[1].second}] = Lsn(number(row[2].second));
  return stopped;
}

void StateTables::add_letter(const Table& table, const std::string& key, const Position& passed) {
  Statement(connection_, "INSERT INTO tailrace.letters VALUES (?, ?, ?, ?, ?, ?)")
      .bind(std::string_view(table.shape.relation->schema))
      .bind(std::string_view(table.shape.relation->name))
      .bind_blob(key)
      .bind(std::uint64_t{passed.epoch})
      .bind(passed.commit_end.value())
      .bind(passed.ordinal)
      .run();
}

void StateTables::pass_letter(const Table& table, const std::string& key, const Position& at) {
  drop_letter(table, key);
  add_letter(table, key, at);
}

void StateTables::drop_letter(const Table& table, const std::string& key) {
  Statement(connection_, "DELETE FROM tailrace.letters WHERE " + of(table) + " AND key = ?").bind_blob(key).run();
}

void StateTables::put_incomplete(const Table& table, const std::string& key, const IncompleteRow& row) {
  drop_incomplete(table, key);
  Statement(connection_, "INSERT INTO tailrace.incomplete VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(std::string_view(table.shape.relation->schema))
      .bind(std::string_view(table.shape.relation->name))
      .bind_blob(key)
      .bind(std::uint64_t{row.at.epoch})
      .bind(row.at.commit_end.value())
      .bind(row.at.ordinal)
      .bind(row.seq.value())
      .bind_time(row.since.unix_micros())
      .bind(std::uint64_t{row.xid.value()})
      .run();
}

void StateTables::drop_incomplete(const Table& table, const std::string& key) {
  Statement(connection_, "DELETE FROM tailrace.incomplete WHERE " + of(table) + " AND key = ?").bind_blob(key).run();
}

bool StateTables::has_keys(const Table& table) {
  return !connection_.rows("SELECT key FROM tailrace.letters WHERE " + of(table)).empty() ||
         !connection_.rows("SELECT key FROM tailrace.incomplete WHERE " + of(table)).empty();
}

void StateTables::clear_keys(const Table& table) {
  connection_.run("DELETE FROM tailrace.letters WHERE " + of(table));
  connection_.run("DELETE FROM tailrace.incomplete WHERE " + of(table));
}

void StateTables::clear_table(const Table& table) {
  clear_keys(table);
  connection_.run("DELETE FROM tailrace.lanes WHERE " + of(table));
  clear_chunks(table);
  connection_.run("DELETE FROM tailrace.baselines WHERE " + of(table));
  connection_.run("DELETE FROM tailrace.tables WHERE " + of(table));
}

}  // namespace tailrace::duckdb
