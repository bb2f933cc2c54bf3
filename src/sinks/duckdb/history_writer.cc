#include <fmt/format.h>

#include "sinks/duckdb/table_writer.h"

namespace tailrace::duckdb {

std::string history_columns() {
  return "effective_from TIMESTAMPTZ, effective_to TIMESTAMPTZ, is_current BOOLEAN, from_lsn UBIGINT, to_lsn UBIGINT, "
         "from_seq UBIGINT, to_seq UBIGINT";
}

std::string ended_version(const std::string& moment, const std::string& lsn, const std::string& seq) {
  return fmt::format(
      "h.* REPLACE (least(h.effective_from, {0}) AS effective_from, {0} AS effective_to, false AS is_current, "
      "least(h.from_lsn, {1}) AS from_lsn, {1} AS to_lsn, {2} AS to_seq)",
      moment, lsn, seq);
}

std::int64_t TableWriter::effective(const Change& change) const {
  return batch_.transaction_of(change).monotone_time.unix_micros();
}

std::int64_t TableWriter::lsn(const Change& change) const {
  return static_cast<std::int64_t>(batch_.transaction_of(change).commit_end.value());
}

std::int64_t TableWriter::seq(const Change& change) const {
  return static_cast<std::int64_t>(batch_.version_seq(change).value());
}

void TableWriter::set_period(RowAppender& rows, const Change& from, const Change* ended_by) {
  std::size_t at = shape_.width();
  rows.set_int64(at, effective(from));
  rows.set_bool(at + 2, ended_by == nullptr);
  rows.set_int64(at + 3, lsn(from));
  rows.set_int64(at + 5, seq(from));
  if (ended_by == nullptr) {
    rows.set_null(at + 1);
    rows.set_null(at + 4);
    rows.set_null(at + 6);
    return;
  }
  rows.set_int64(at + 1, effective(*ended_by));
  rows.set_int64(at + 4, lsn(*ended_by));
  rows.set_int64(at + 6, seq(*ended_by));
}

void TableWriter::write_versions() {
  if (batch_.keyed().versions().empty()) return;
  RowAppender& history = history_rows();
  for (const auto& version : batch_.keyed().versions()) {
    if (needs_target(version.image)) continue;
    if (write_row(history, version.image) != Written::kWhole) continue;
    set_period(history, *version.image.change, version.ended_by);
    history.end_row();
  }
  history.flush();
}

void TableWriter::end_versions() {
  const auto& endings = batch_.keyed().endings();
  if (!endings.empty()) {
    connection_.run(
        fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_endings({}, moment TIMESTAMPTZ, lsn UBIGINT, seq UBIGINT)",
                    declared('b', shape_.key_types())));
    RowAppender rows(connection_, "temp", "tailrace_endings", shape_.key_types());
    bool continues = false;
    for (const auto& ending : endings) {
      split_key(batch_.keyed().slots()[ending.slot].key, shape_.key.size(), key_fields_);
      std::size_t at = 0;
      for (const Field& field : key_fields_) rows.put(at++, field);
      rows.set_int64(at++, effective(*ending.ended_by));
      rows.set_int64(at++, lsn(*ending.ended_by));
      rows.set_int64(at++, seq(*ending.ended_by));
      rows.end_row();
      continues = continues || batch_.continues(*ending.ended_by);
    }
    rows.flush();
    end_staged(endings.size(), continues, *endings.front().ended_by);
    connection_.run("DROP TABLE temp.tailrace_endings");
  }
  if (batch_.keyed().truncated_by() != nullptr) end_all_versions();
}

/// Behind a letter the target may have a row or not: it goes, and with it its open version ends.
void TableWriter::clear_rows() {
  if (batch_.cleared().empty()) return;
  connection_.run(
      fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_cleared({}, moment TIMESTAMPTZ, lsn UBIGINT, seq UBIGINT)",
                  declared('b', shape_.key_types())));
  {
    RowAppender rows(connection_, "temp", "tailrace_cleared", shape_.key_types());
    for (const auto& [key, change] : batch_.cleared()) {
      split_key(key, shape_.key.size(), key_fields_);
      std::size_t at = 0;
      for (const Field& field : key_fields_)
        if (!rows.put(at++, field)) throw SuspectTable{&table_, batch_.position_of(*change), "a key could not be read"};
      rows.set_int64(at++, effective(*change));
      rows.set_int64(at++, lsn(*change));
      rows.set_int64(at++, seq(*change));
      rows.end_row();
    }
    rows.flush();
  }
  connection_.run(fmt::format("DELETE FROM {} AS t USING temp.tailrace_cleared AS k WHERE {}", table_.mirror_name(),
                              equal_columns(*shape_.relation, shape_.key, "t", "k")));
  if (shape_.history) {
    const std::string history = table_.history_name();
    const std::string matches = equal_columns(*shape_.relation, shape_.key, "h", "k") + " AND h.is_current";
    // What began in the same transaction was never visible.
    if (!shape_.intermediate)
      connection_.run(fmt::format(
          "DELETE FROM {} AS h USING temp.tailrace_cleared AS k WHERE {} AND h.from_seq = k.seq", history, matches));
    connection_.run(
        fmt::format("INSERT INTO {0} BY NAME SELECT {1} FROM {0} AS h JOIN temp.tailrace_cleared AS k ON {2}", history,
                    ended_version("k.moment", "k.lsn", "k.seq"), matches));
    connection_.run(fmt::format("DELETE FROM {} AS h USING temp.tailrace_cleared AS k WHERE {}", history, matches));
  }
  connection_.run("DROP TABLE temp.tailrace_cleared");
}

void TableWriter::end_staged(std::size_t count, bool continues, const Change& some) {
  const std::string history = table_.history_name();
  std::string source = "tailrace_endings";
  std::string matches = equal_columns(*shape_.relation, shape_.key, "h", "k") + " AND h.is_current";
  if (count <= kFewRows) {
    // DuckDB finds few rows by their place without reading the other columns of the table.
    connection_.run(
        fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_places AS SELECT h.rowid AS rid, k.moment, k.lsn, "
                    "k.seq FROM {} AS h JOIN temp.tailrace_endings AS k ON {}",
                    history, matches));
    source = "tailrace_places";
    matches = "h.rowid = k.rid";
  }
  std::uint64_t never_seen = 0;
  // What an earlier part of the same transaction began was never visible.
  if (continues && !shape_.intermediate)
    never_seen = connection_.run(fmt::format("DELETE FROM {} AS h USING temp.{} AS k WHERE {} AND h.from_seq = k.seq",
                                             history, source, matches));
  const auto ended =
      connection_.run(fmt::format("INSERT INTO {0} BY NAME SELECT {1} FROM {0} AS h JOIN temp.{2} AS k ON {3}", history,
                                  ended_version("k.moment", "k.lsn", "k.seq"), source, matches));
  const auto gone =
      connection_.run(fmt::format("DELETE FROM {} AS h USING temp.{} AS k WHERE {}", history, source, matches));
  connection_.run("DROP TABLE IF EXISTS temp.tailrace_places");
  expect(count, never_seen + ended, some, "open history");
  expect(ended, gone, some, "open history");
}

void TableWriter::end_all_versions() {
  const Change& by = shape_.multiset() ? *batch_.multiset().truncated_by() : *batch_.keyed().truncated_by();
  const std::string history = table_.history_name();
  if (!shape_.intermediate && batch_.continues(by))
    connection_.run(fmt::format("DELETE FROM {} WHERE is_current AND from_seq = {}", history, seq(by)));
  const auto ended = connection_.run(
      fmt::format("INSERT INTO {0} BY NAME SELECT {1} FROM {0} AS h WHERE h.is_current", history,
                  ended_version(fmt::format("make_timestamptz({})", effective(by)), fmt::format("{}::UBIGINT", lsn(by)),
                                fmt::format("{}::UBIGINT", seq(by)))));
  const auto gone = connection_.run(fmt::format("DELETE FROM {} WHERE is_current", history));
  expect(ended, gone, by, "open history");
}

}  // namespace tailrace::duckdb
