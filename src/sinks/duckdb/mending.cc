#include <fmt/format.h>

#include "base/crash_point.h"
#include "sinks/duckdb/expected_rows.h"
#include "sinks/duckdb/sink_state.h"
#include "sinks/duckdb/table_shape.h"
#include "sinks/duckdb/table_writer.h"

namespace tailrace::duckdb {

std::uint64_t DuckdbSink::State::mend(const Relation& relation, const std::vector<sinks::ExpectedRow>& rows) {
  const auto found = by_oid_.find(relation.oid);
  if (found == by_oid_.end()) return 0;
  Table& table = *found->second;
  if (table.hold || !table.shape.keyed() || !same_columns(shape_of(std::make_shared<Relation>(relation)), table.shape))
    return 0;
  begin();
  try {
    table.close_appenders();
    stage_expected(*connection_, table, rows);
    const std::uint64_t mended = put_mirror_right(table);
    if (table.shape.history) put_history_right(table);
    connection_->run("DROP TABLE temp.tailrace_expected");
    TAILRACE_CRASH_POINT("duckdb.after_mending");
    return mended;
  } catch (...) {
    roll_back();
    throw;
  }
}

std::uint64_t DuckdbSink::State::put_mirror_right(const Table& table) {
  const std::string mirror = table.mirror_name();
  // Only what differs is touched: a row that became right meanwhile stays as it is.
  connection_->run(fmt::format(
      "CREATE OR REPLACE TEMP TABLE tailrace_wrong AS SELECT s.i FROM temp.tailrace_expected AS s LEFT JOIN {} "
      "AS t ON {} GROUP BY s.i, s.present HAVING CASE WHEN s.present THEN count(t.rowid) <> 1 OR "
      "NOT bool_and({}) ELSE count(t.rowid) > 0 END",
      mirror, key_condition(table.shape, "t", "s"), row_condition(table.shape, "t", "s")));
  connection_->run(
      fmt::format("DELETE FROM {} AS t USING (FROM temp.tailrace_expected SEMI JOIN temp.tailrace_wrong USING "
                  "(i)) AS s WHERE {}",
                  mirror, key_condition(table.shape, "t", "s")));
  connection_->run(
      fmt::format("INSERT INTO {}({}) SELECT {} FROM temp.tailrace_expected SEMI JOIN temp.tailrace_wrong USING (i) "
                  "WHERE present",
                  mirror, listed_columns(*table.shape.relation), staged_columns(table.shape)));
  const auto count = connection_->rows("SELECT count(*)::VARCHAR FROM temp.tailrace_wrong").front().front().second;
  connection_->run("DROP TABLE temp.tailrace_wrong");
  return std::stoull(count);
}

void DuckdbSink::State::put_history_right(const Table& table) {
  const std::string history = table.history_name();
  const std::string moment = fmt::format("make_timestamptz({})", pending_.commit_time.unix_micros());
  const std::string lsn = fmt::format("{}::UBIGINT", pending_.position.commit_end.value());
  const std::string seq = fmt::format("{}::UBIGINT", pending_.seq.value());
  connection_->run(fmt::format(
      "CREATE OR REPLACE TEMP TABLE tailrace_wrong AS SELECT s.i FROM temp.tailrace_expected AS s LEFT JOIN {} AS h ON "
      "h.is_current AND {} GROUP BY s.i, s.present HAVING CASE WHEN s.present THEN count(h.rowid) <> 1 OR NOT "
      "bool_and({}) ELSE count(h.rowid) > 0 END",
      history, key_condition(table.shape, "h", "s"), row_condition(table.shape, "h", "s")));
  const std::string wrong = "(FROM temp.tailrace_expected SEMI JOIN temp.tailrace_wrong USING (i)) AS s";
  // Nobody knows since when it was wrong: the history says when it was found.
  connection_->run(fmt::format("INSERT INTO {0} BY NAME SELECT {1} FROM {0} AS h JOIN {2} ON h.is_current AND {3}",
                               history, ended_version(moment, lsn, seq), wrong, key_condition(table.shape, "h", "s")));
  connection_->run(fmt::format("DELETE FROM {} AS h USING {} WHERE h.is_current AND {}", history, wrong,
                               key_condition(table.shape, "h", "s")));
  connection_->run(fmt::format(
      "INSERT INTO {}({}, effective_from, is_current, from_lsn, from_seq) SELECT {}, {}, true, {}, {} FROM "
      "{} WHERE present",
      history, listed_columns(*table.shape.relation), staged_columns(table.shape), moment, lsn, seq, wrong));
  connection_->run("DROP TABLE temp.tailrace_wrong");
}

}  // namespace tailrace::duckdb
