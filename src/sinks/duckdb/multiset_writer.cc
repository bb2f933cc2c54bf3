#include <fmt/format.h>

#include "base/crash_point.h"
#include "sinks/duckdb/table_writer.h"

namespace tailrace::duckdb {
namespace {

bool floating(const TargetType& type) { return type.shape == Shape::kFloat || type.shape == Shape::kDouble; }

}  // namespace

void TableWriter::write_multiset() {
  MultisetFold& fold = batch_.multiset();
  if (fold.empty()) return;
  stage_removed();
  if (fold.truncated_by() != nullptr) {
    delete_all();
  } else {
    delete_multiset();
  }
  TAILRACE_CRASH_POINT("duckdb.after_delete");
  if (shape_.history) end_multiset_versions();
  connection_.run("DROP TABLE IF EXISTS temp.tailrace_removed");
  RowAppender& mirror = mirror_rows();
  const auto write = [&](RowAppender& rows, const RowImage& image) {
    if (write_row(rows, image) != Written::kWhole)
      throw SuspectTable{&table_, batch_.position_of(*image.change), "a value could not be written"};
  };
  for (const auto& group : fold.groups()) {
    for (const RowImage& row : group.added) {
      write(mirror, row);
      mirror.end_row();
      if (!shape_.history) continue;
      write(history_rows(), row);
      set_period(history_rows(), *row.change, nullptr);
      history_rows().end_row();
    }
  }
  for (const auto& version : fold.versions()) {
    write(history_rows(), version.image);
    set_period(history_rows(), *version.image.change, version.ended_by);
    history_rows().end_row();
  }
  mirror.flush();
  if (table_.history_rows) table_.history_rows->flush();
  TAILRACE_CRASH_POINT("duckdb.after_append");
}

/// One row per removal: the values, the group, its place among the group's removals, and when.
void TableWriter::stage_removed() {
  connection_.run(
      fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_removed({}, g BIGINT, n BIGINT, moment TIMESTAMPTZ, "
                  "lsn UBIGINT, seq UBIGINT)",
                  declared('c', shape_.types)));
  RowAppender rows(connection_, "temp", "tailrace_removed", shape_.types);
  std::int64_t number = 0;
  for (const auto& group : batch_.multiset().groups()) {
    ++number;
    std::int64_t place = 0;
    for (const Change* change : group.removed) {
      if (write_row(rows, RowImage{change, change->old_row, nullptr}) != Written::kWhole)
        throw SuspectTable{&table_, batch_.position_of(*change), "an old row could not be read"};
      std::size_t at = shape_.width();
      rows.set_int64(at++, number);
      rows.set_int64(at++, ++place);
      rows.set_int64(at++, effective(*change));
      rows.set_int64(at++, lsn(*change));
      rows.set_int64(at++, seq(*change));
      rows.end_row();
    }
  }
  rows.flush();
}

void TableWriter::delete_multiset() {
  std::uint64_t wanted = 0;
  const Change* some = nullptr;
  for (const auto& group : batch_.multiset().groups()) {
    wanted += group.removed.size();
    if (!group.removed.empty()) some = group.removed.front();
  }
  if (some == nullptr) return;
  // Equal rows with another sign of zero are the last choice.
  std::string exact = "0";
  for (std::size_t n = 0; n < shape_.width(); ++n)
    if (floating(shape_.types[n]))
      exact += fmt::format(" + (t.{}::VARCHAR IS DISTINCT FROM s.c{}::VARCHAR)::INTEGER",
                           identifier(shape_.relation->columns[n].name), n);
  const auto deleted = connection_.run(fmt::format(
      "DELETE FROM {0} WHERE rowid IN (SELECT rid FROM (SELECT t.rowid AS rid, c.total AS total, row_number() OVER "
      "(PARTITION BY s.g ORDER BY {1}, t.rowid) AS k FROM {0} AS t JOIN temp.tailrace_removed AS s ON s.n = 1 AND {2} "
      "JOIN (SELECT g, count(*) AS total FROM temp.tailrace_removed GROUP BY g) AS c ON c.g = s.g) WHERE k <= total)",
      table_.mirror_name(), exact, row_condition(shape_, "t", "s")));
  expect(wanted, deleted, *some, "equal");
}

void TableWriter::end_multiset_versions() {
  std::uint64_t wanted = 0;
  const Change* some = nullptr;
  for (const auto& group : batch_.multiset().groups()) {
    wanted += group.removed.size();
    if (!group.removed.empty()) some = group.removed.front();
  }
  const std::string history = table_.history_name();
  if (some != nullptr) {
    // The newest open version among equal rows ends first.
    connection_.run(fmt::format(
        "CREATE OR REPLACE TEMP TABLE tailrace_ending AS SELECT x.rid, r.moment, r.lsn, r.seq FROM (SELECT h.rowid AS "
        "rid, "
        "s.g AS g, row_number() OVER (PARTITION BY s.g ORDER BY h.from_seq DESC, h.rowid DESC) AS k FROM {} AS h JOIN "
        "temp.tailrace_removed AS s ON s.n = 1 AND h.is_current AND {}) AS x JOIN temp.tailrace_removed AS r ON "
        "r.g = x.g AND r.n = x.k",
        history, row_condition(shape_, "h", "s")));
    const std::string seen = shape_.intermediate ? "true" : "h.from_seq IS DISTINCT FROM e.seq";
    connection_.run(fmt::format(
        "INSERT INTO {0} BY NAME SELECT {1} FROM {0} AS h JOIN temp.tailrace_ending AS e ON h.rowid = e.rid WHERE {2}",
        history, ended_version("e.moment", "e.lsn", "e.seq"), seen));
    const auto gone =
        connection_.run(fmt::format("DELETE FROM {} WHERE rowid IN (SELECT rid FROM temp.tailrace_ending)", history));
    connection_.run("DROP TABLE temp.tailrace_ending");
    expect(wanted, gone, *some, "open history");
  }
  if (batch_.multiset().truncated_by() != nullptr) end_all_versions();
}

}  // namespace tailrace::duckdb
