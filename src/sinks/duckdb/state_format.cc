#include "sinks/duckdb/state_format.h"

#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <string>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "sinks/damaged_target.h"

namespace tailrace::duckdb {
namespace {

constexpr const char* kChunks =
    "CREATE TABLE tailrace.chunks(schema_name VARCHAR, table_name VARCHAR, first_page UBIGINT, end_page UBIGINT, "
    "snapshot VARCHAR, fence_lsn UBIGINT)";

constexpr const char* kOutcomes =
    "CREATE TABLE tailrace.outcomes(table_name VARCHAR, operation VARCHAR, applied BIGINT, filtered BIGINT, "
    "dead_lettered BIGINT, held BIGINT)";

constexpr const char* kSchema[] = {
    "CREATE SCHEMA tailrace",
    "CREATE TABLE tailrace.meta(format UBIGINT, pipeline VARCHAR, source_id VARCHAR, created_at TIMESTAMPTZ)",
    "CREATE TABLE tailrace.cursor(pipeline VARCHAR, source_id VARCHAR, epoch UINTEGER, commit_lsn UBIGINT, "
    "ordinal UBIGINT, seq UBIGINT, commit_time TIMESTAMPTZ, applied_at TIMESTAMPTZ, topic VARCHAR, "
    "partition INTEGER, next_offset BIGINT, received UBIGINT, applied UBIGINT, filtered UBIGINT, "
    "dead_lettered UBIGINT, held UBIGINT)",
    "CREATE TABLE tailrace.tables(schema_name VARCHAR, table_name VARCHAR, oid UINTEGER, state VARCHAR, "
    "relation BLOB, snapshot VARCHAR, fence_lsn UBIGINT, copied_rows UBIGINT)",
    "CREATE TABLE tailrace.lanes(schema_name VARCHAR, table_name VARCHAR, state VARCHAR, epoch UINTEGER, "
    "commit_lsn UBIGINT, ordinal UBIGINT, code VARCHAR, reason VARCHAR, since TIMESTAMPTZ)",
    "CREATE TABLE tailrace.letters(schema_name VARCHAR, table_name VARCHAR, key BLOB, epoch UINTEGER, commit_lsn "
    "UBIGINT, ordinal UBIGINT)",
    "CREATE TABLE tailrace.incomplete(schema_name VARCHAR, table_name VARCHAR, key BLOB, epoch UINTEGER, "
    "commit_lsn UBIGINT, ordinal UBIGINT, seq UBIGINT, since TIMESTAMPTZ, xid UINTEGER)",
    "CREATE TABLE tailrace.baselines(schema_name VARCHAR, table_name VARCHAR, effective_from TIMESTAMPTZ, "
    "from_lsn UBIGINT, versions UBIGINT, kept_until UBIGINT)",
    kChunks,
    kOutcomes,
};

// What leads from each form to the next.
constexpr const char* kToTwo[] = {
    "ALTER TABLE tailrace.incomplete ADD COLUMN IF NOT EXISTS seq UBIGINT",
    "ALTER TABLE tailrace.incomplete ADD COLUMN IF NOT EXISTS since TIMESTAMPTZ",
    "ALTER TABLE tailrace.incomplete ADD COLUMN IF NOT EXISTS xid UINTEGER",
    "ALTER TABLE tailrace.baselines ADD COLUMN IF NOT EXISTS kept_until UBIGINT",
};

constexpr const char* kToFour[] = {
    kOutcomes,
    "ALTER TABLE tailrace.letters ADD COLUMN epoch UINTEGER",
    "ALTER TABLE tailrace.letters ADD COLUMN commit_lsn UBIGINT",
    "ALTER TABLE tailrace.letters ADD COLUMN ordinal UBIGINT",
};

void in_one_transaction(Connection& connection, const std::function<void()>& write) {
  connection.run("BEGIN");
  try {
    write();
    connection.run("COMMIT");
  } catch (const Error&) {
    connection.roll_back();
    throw;
  }
}

}  // namespace

std::optional<std::uint64_t> state_format(Connection& connection, const DuckdbSpec& spec) {
  const auto schemas = connection.rows(
      "SELECT schema_name FROM duckdb_schemas() WHERE database_name = current_database() AND schema_name = 'tailrace'");
  if (schemas.empty()) return std::nullopt;
  const std::string path = spec.path.string();
  const auto tables = connection.rows(
      "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = 'tailrace' "
      "AND table_name = 'meta'");
  if (tables.empty())
    throw RefusedError("TR602", fmt::format("{} has a schema \"tailrace\" that Tailrace did not make", path),
                       "name another target file, or rename that schema");
  const auto rows = connection.rows("SELECT format::VARCHAR, pipeline, source_id FROM tailrace.meta");
  if (rows.size() != 1)
    throw sinks::DamagedTarget("TR605", fmt::format("{}: tailrace.meta has {} rows instead of one", path, rows.size()),
                               "move the file away and let Tailrace copy the tables again");
  const TextRow& meta = rows.front();
  std::uint64_t format = 0;
  std::from_chars(meta[0].second.data(), meta[0].second.data() + meta[0].second.size(), format);
  if (format > kStateFormat)
    throw RefusedError("TR603", fmt::format("{} was written by a newer Tailrace (format {})", path, format),
                       "use that version, or name another target file");
  const bool other_source = !spec.source_id.empty() && meta[2].second != spec.source_id;
  if (meta[1].second != spec.pipeline || other_source)
    throw RefusedError(
        "TR604", fmt::format("{} is the target of pipeline \"{}\" with another source or name", path, meta[1].second),
        "name another target file; one file belongs to one pipeline");
  return format;
}

void create_state(Connection& connection, const DuckdbSpec& spec) {
  in_one_transaction(connection, [&] {
    for (const char* sql : kSchema) connection.run(sql);
    Statement(connection, "INSERT INTO tailrace.meta VALUES (?, ?, ?, now())")
        .bind(kStateFormat)
        .bind(std::string_view(spec.pipeline))
        .bind(std::string_view(spec.source_id))
        .run();
  });
}

void upgrade_state(Connection& connection, const DuckdbSpec& spec, std::uint64_t from) {
  in_one_transaction(connection, [&] {
    if (from < 2)
      for (const char* sql : kToTwo) connection.run(sql);
    if (from < 3) connection.run(kChunks);
    if (from < 4)
      for (const char* sql : kToFour) connection.run(sql);
    TAILRACE_CRASH_POINT("duckdb.state_upgrading");
    connection.run(fmt::format("UPDATE tailrace.meta SET format = {}", kStateFormat));
  });
  log::info("duckdb.upgraded", "{}: schema tailrace brought from format {} to {}", spec.path.string(), from,
            kStateFormat);
}

}  // namespace tailrace::duckdb
