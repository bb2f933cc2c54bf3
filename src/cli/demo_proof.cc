#include "cli/demo_proof.h"

#include <fmt/format.h>

#include <map>
#include <memory>

#include "base/error.h"
#include "sources/postgres/connection.h"

namespace tailrace::cli {
namespace {

using postgres::Connection;
using postgres::Rows;

/// A value's text that both databases print alike, by type as format_type() names it; {} is the column.
struct Canonical {
  const char* postgres;
  const char* duckdb;
};

const std::map<std::string, Canonical, std::less<>>& canonical_by_type() {
  static const Canonical plain{"{}::text", "{}::VARCHAR"};
  static const Canonical moment{"(extract(epoch from {}) * 1000000)::bigint::text", "epoch_us({})::VARCHAR"};
  static const std::map<std::string, Canonical, std::less<>> known = {{"bigint", plain},
                                                                      {"integer", plain},
                                                                      {"smallint", plain},
                                                                      {"text", plain},
                                                                      {"boolean", plain},
                                                                      {"numeric", plain},
                                                                      {"uuid", plain},
                                                                      {"jsonb", plain},
                                                                      {"character varying", plain},
                                                                      {"date", plain},
                                                                      {"timestamp with time zone", moment}};
  return known;
}

struct DigestQueries {
  std::string postgres;
  std::string duckdb;
};

DigestQueries digest_queries(Connection& source, const std::string& schema, const std::string& table) {
  const Rows columns = source.query(
      "SELECT attname, regexp_replace(format_type(atttypid, atttypmod), '\\(.*\\)', '') FROM pg_catalog.pg_attribute "
      "WHERE attrelid = format('%I.%I', $1::text, $2::text)::regclass AND attnum > 0 AND NOT attisdropped "
      "ORDER BY attnum",
      {schema, table}, "reading a table's columns");
  std::string postgres_row;
  std::string duckdb_row;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const auto found = canonical_by_type().find(columns.at(i, 1));
    if (found == canonical_by_type().end())
      throw DefectError(fmt::format("type {} of {}.{} has no canonical text", columns.at(i, 1), schema, table));
    const std::string name = source.quoted_name(columns.at(i, 0));
    const char* between = i == 0 ? "" : " || '|' || ";
    postgres_row +=
        fmt::format("{}coalesce({}, '\\N')", between, fmt::format(fmt::runtime(found->second.postgres), name));
    duckdb_row += fmt::format("{}coalesce({}, '\\N')", between, fmt::format(fmt::runtime(found->second.duckdb), name));
  }
  const std::string name = source.quoted_name(schema) + "." + source.quoted_name(table);
  return {fmt::format("SELECT count(*)::text, md5(coalesce(string_agg(line, chr(10) ORDER BY line COLLATE \"C\"), '')) "
                      "FROM (SELECT {} AS line FROM {}) rows",
                      postgres_row, name),
          fmt::format("SELECT count(*)::VARCHAR, md5(coalesce(string_agg(line, chr(10) ORDER BY line), '')) "
                      "FROM (SELECT {} AS line FROM {}) AS line_set",
                      duckdb_row, name)};
}

}  // namespace

std::vector<TableProof> prove_mirror(const std::string& conninfo, const std::string& schema, const AskMirror& ask) {
  postgres::SourceSpec spec;
  spec.conninfo = conninfo;
  const auto source = Connection::open(spec, postgres::ConnectionKind::kSql);
  const Rows tables = source->query("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = $1 ORDER BY 1",
                                    {schema}, "listing the demo's tables");
  std::vector<TableProof> proofs;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const std::string table(tables.at(i, 0));
    const DigestQueries queries = digest_queries(*source, schema, table);
    const Rows there = source->query(queries.postgres, "comparing a table");
    const std::vector<std::string> here = ask(queries.duckdb);
    proofs.push_back({table, there.unsigned_number(0, 0),
                      here.size() == 2 && here[0] == there.at(0, 0) && here[1] == there.at(0, 1)});
  }
  return proofs;
}

}  // namespace tailrace::cli
