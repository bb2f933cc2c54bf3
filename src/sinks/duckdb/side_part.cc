// How some rows of a table are copied beside the stream (docs/copy-and-fence.md, "Some rows of a table").

#include <fmt/format.h>

#include <unordered_set>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "model/tuple.h"
#include "sinks/duckdb/key.h"
#include "sinks/duckdb/postgres_text.h"
#include "sinks/duckdb/row_appender.h"
#include "sinks/duckdb/side_copy.h"

namespace tailrace::duckdb {
namespace {

/// More rows of the target than that are not asked for by key.
constexpr std::size_t kMostSuspects = 200'000;

/// SQL: the target's key columns.
std::string key_names(const TableShape& shape) { return listed_columns(*shape.relation, shape.key); }

[[noreturn]] void refuse_reading(const std::string& table, const char* why) {
  throw BadConfigError("TR643", fmt::format("the target cannot read the condition on {}: {}", table, why),
                       "write it with what PostgreSQL and DuckDB both know, or copy the whole table");
}

/// The keys in a table of key columns, as the source is asked for them.
std::vector<std::string> read_keys(Connection& sql, const TableShape& shape, const std::string& table) {
  const std::vector<std::size_t> key = shape.relation->match_key();
  std::vector<std::string> keys;
  Result result = sql.stream(fmt::format("SELECT {} FROM {}", listed_columns(*shape.relation, key), table));
  while (duckdb_data_chunk chunk = duckdb_fetch_chunk(*result.get())) {
    const std::unique_ptr<duckdb_data_chunk, void (*)(duckdb_data_chunk*)> owner(&chunk, duckdb_destroy_data_chunk);
    const idx_t size = duckdb_data_chunk_get_size(chunk);
    for (idx_t row = 0; row < size; ++row) {
      TupleWriter writer(keys.emplace_back(), static_cast<std::uint16_t>(key.size()));
      for (std::size_t n = 0; n < key.size(); ++n) {
        std::string text;
        append_postgres_text(shape.types[key[n]], duckdb_data_chunk_get_vector(chunk, n), row, text);
        writer.text(text);
      }
    }
  }
  if (const char* error = duckdb_result_error(result.get()); error != nullptr && *error != '\0')
    throw_duckdb_error(duckdb_result_error_type(result.get()), error, "read keys");
  return keys;
}

}  // namespace

std::string DuckdbSink::State::Side::missed_name() const {
  return "tailrace." + identifier(hidden_->stored_as->second + "_missed");
}

void DuckdbSink::State::Side::refuse_part(const RelationPtr& relation, const std::string& where) {
  const auto found = state_.tables_.find({relation->schema, relation->name});
  const Table* table = found == state_.tables_.end() ? nullptr : found->second.get();
  const TableShape shape = state_.shape_of(relation);
  std::string obstacle;
  if (table == nullptr || table->state != TableState::kCopied) {
    obstacle = "it was never copied";
  } else if (table->hold) {
    obstacle = "it is held";
  } else if (!table->shape.keyed()) {
    obstacle = "no key tells its rows apart";
  } else if (!same_columns(shape, table->shape) || !same_key(shape, table->shape)) {
    obstacle = "the target has not seen its new columns yet";
  }
  if (!obstacle.empty())
    throw RefusedError(
        "TR644", fmt::format("{} cannot be copied in part: {}", relation->display_name(), obstacle),
        fmt::format("copy all of it: tailrace snapshot {} {}", state_.spec_.pipeline, relation->display_name()));
  try {
    state_.connection_->rows(fmt::format("SELECT 'x' FROM {} WHERE (\n{}\n) LIMIT 0", table->mirror_name(), where));
  } catch (const RefusedError& error) {
    refuse_reading(relation->display_name(), error.what());
  }
}

std::function<std::vector<std::string>()> DuckdbSink::State::Side::suspects_of_part() const {
  return [database = state_.database_, shape = hidden_->shape, hidden = hidden_->mirror_name(), missed = missed_name(),
          where = where_] {
    Connection sql(database);
    const std::string keys = key_names(shape);
    const std::string mirror = identifier(shape.relation->schema) + "." + identifier(shape.relation->name);
    try {
      sql.run(
          fmt::format("CREATE OR REPLACE TABLE {} AS SELECT DISTINCT {} FROM {} WHERE (\n{}\n) AND ({}) NOT IN "
                      "(SELECT {} FROM {})",
                      missed, keys, mirror, where, keys, keys, hidden));
    } catch (const RefusedError& error) {
      refuse_reading(shape.relation->display_name(), error.what());
    }
    TAILRACE_CRASH_POINT("duckdb.part_suspects");
    std::vector<std::string> suspects = read_keys(sql, shape, missed);
    if (suspects.size() > kMostSuspects)
      throw BadConfigError(
          "TR643",
          fmt::format("the condition holds for {} rows of {} in the target for which it does not hold at the source",
                      suspects.size(), shape.relation->display_name()),
          "see that both read it alike, or copy the whole table");
    return suspects;
  };
}

void DuckdbSink::State::Side::part_loaded() {
  const TableShape& shape = hidden_->shape;
  const std::vector<std::string> letters =
      known_letters_.take_copied_keys(shape.relation->schema, shape.relation->name);
  state_.write_alone([&] {
    state_.connection_->run(fmt::format("DELETE FROM {0} WHERE ({1}) IN (SELECT {1} FROM {2})", missed_name(),
                                        key_names(shape), hidden_->mirror_name()));
    // These are at the source, and the target cannot hold them: no row of the part goes for them.
    leave_out(letters);
  });
}

void DuckdbSink::State::Side::stage_keys(const std::vector<std::string>& keys) {
  const std::vector<TargetType> types = hidden_->shape.key_types();
  state_.connection_->run(
      fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_part({}, i BIGINT)", declared('b', types)));
  RowAppender rows(*state_.connection_, "temp", "tailrace_part", types);
  std::vector<Field> fields;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    split_key(keys[i], types.size(), fields);
    bool held = true;
    for (std::size_t n = 0; held && n < fields.size(); ++n) held = rows.put(n, fields[n]);
    // A key that the target cannot hold is in none of its tables.
    if (!held) continue;
    rows.set_int64(types.size(), static_cast<std::int64_t>(i));
    rows.end_row();
  }
  rows.flush();
}

void DuckdbSink::State::Side::leave_out(const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  stage_keys(keys);
  for (const std::string& table : {hidden_->mirror_name(), missed_name()})
    state_.connection_->run(
        fmt::format("DELETE FROM {} AS t USING temp.tailrace_part AS s WHERE {}", table, staged_key()));
  state_.connection_->run("DROP TABLE temp.tailrace_part");
}

std::string DuckdbSink::State::Side::staged_key() const {
  return equal_columns(*hidden_->shape.relation, hidden_->shape.key, "t", "s");
}

std::vector<const Change*> DuckdbSink::State::Side::changes_of_part(const std::vector<const Change*>& changes) {
  struct Keys {
    std::string before;
    std::string after;
  };
  const std::vector<std::size_t>& columns = hidden_->shape.key;
  Arena arena;
  const auto key_of = [&](TupleView tuple, TupleView fallback) {
    ByteView key;
    if (!tuple.present() || !read_key(tuple, fallback, columns, arena, key))
      give_up_copy(*hidden_, "a change came without the key of its row");
    return std::string(key);
  };
  std::vector<Keys> keys(changes.size());
  std::vector<std::string> touched;
  bool truncated = false;
  for (std::size_t n = 0; n < changes.size(); ++n) {
    const Change& change = *changes[n];
    truncated = truncated || change.kind == ChangeKind::kTruncate;
    if (change.kind == ChangeKind::kTruncate) continue;
    if (change.kind != ChangeKind::kInsert)
      keys[n].before = key_of(change.old_row.present() ? change.old_row : change.new_row, {});
    if (change.kind != ChangeKind::kDelete) keys[n].after = key_of(change.new_row, change.old_row);
    for (const std::string& key : {keys[n].before, keys[n].after})
      if (!key.empty()) touched.push_back(key);
  }
  Connection& sql = *state_.connection_;
  stage_keys(touched);
  std::unordered_set<std::string> alive;
  for (const TextRow& row :
       sql.rows(fmt::format("SELECT DISTINCT s.i::VARCHAR FROM temp.tailrace_part AS s JOIN {} AS t ON {}",
                            hidden_->mirror_name(), staged_key())))
    alive.insert(touched.at(std::stoull(row[0].second)));
  // What the stream has written since is not for the copy to remove.
  sql.run(fmt::format("DELETE FROM {} AS t USING temp.tailrace_part AS s WHERE {}", missed_name(), staged_key()));
  if (truncated) sql.run("DELETE FROM " + missed_name());
  sql.run("DROP TABLE temp.tailrace_part");
  std::vector<const Change*> kept;
  for (std::size_t n = 0; n < changes.size(); ++n) {
    if (changes[n]->kind == ChangeKind::kTruncate) {
      alive.clear();
      kept.push_back(changes[n]);
    } else if (changes[n]->kind != ChangeKind::kInsert && alive.erase(keys[n].before) > 0) {
      if (changes[n]->kind == ChangeKind::kUpdate) alive.insert(keys[n].after);
      kept.push_back(changes[n]);
    }
  }
  return kept;
}

std::string DuckdbSink::State::Side::of_part() const {
  if (where_.empty()) return "true";
  const std::string keys = key_names(hidden_->shape);
  return fmt::format("({0}) IN (SELECT {0} FROM {1} UNION ALL SELECT {0} FROM {2})", keys, hidden_->mirror_name(),
                     missed_name());
}

void DuckdbSink::State::Side::merge_part() {
  const RelationPtr relation = hidden_->shape.relation;
  Table& table = *state_.tables_.at({relation->schema, relation->name});
  if (table.hold || !same_columns(hidden_->shape, table.shape) || !same_key(hidden_->shape, table.shape))
    give_up_copy(*hidden_, "the target's table changed");
  table.close_appenders();
  hidden_->close_appenders();
  // Rows that the target cannot hold, or still asks for: theirs is another way.
  std::vector<std::string> others;
  for (const auto& [key, passed] : table.lettered) others.push_back(key);
  for (const auto& [key, row] : table.incomplete) others.push_back(key);
  for (const auto& [key, passed] : hidden_->lettered) others.push_back(key);
  for (const auto& [key, row] : hidden_->incomplete) others.push_back(key);
  Difference difference;
  state_.write_alone([&] {
    Connection& sql = *state_.connection_;
    leave_out(others);
    difference = merge_mirror(table);
    TAILRACE_CRASH_POINT("duckdb.part_mirror_merged");
    if (table.shape.history) merge_history(table);
    sql.run("DROP TABLE IF EXISTS temp.tailrace_gone");
    sql.run("DROP TABLE IF EXISTS temp.tailrace_fresh");
  });
  TAILRACE_CRASH_POINT("duckdb.part_merged");
  log::info("duckdb.merged", "{}: {} rows went, {} came", relation->display_name(), difference.gone, difference.fresh);
  drop();
}

}  // namespace tailrace::duckdb
