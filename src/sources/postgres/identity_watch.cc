#include "sources/postgres/identity_watch.h"

#include <algorithm>
#include <span>

#include "base/log.h"
#include "base/table_patterns.h"
#include "sources/postgres/sql_array.h"
#include "sources/postgres/table_watch.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kLookingForIdentity = "looking for tables without identity";
constexpr std::size_t kNamesShown = 5;

/// As the server's CheckCmdReplicaIdentity() has it: the table itself counts, a partition also where an ancestor of it
/// is published. Ids below 16384 are the server's own.
const char* kRefusedSql =
    "WITH ours AS (SELECT * FROM pg_publication WHERE pubname = ANY($1::name[]) AND (pubupdate OR pubdelete)), "
    "usable AS (SELECT * FROM pg_index WHERE indisvalid AND indimmediate AND (indisprimary OR indisreplident)) "
    "SELECT c.oid, n.nspname, c.relname, p.pubname, "
    "       EXISTS (SELECT FROM usable i WHERE i.indrelid = c.oid AND i.indisprimary), rn.nspname, r.relname "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_class r ON r.oid = CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid ELSE c.oid END "
    "JOIN pg_namespace rn ON rn.oid = r.relnamespace "
    "CROSS JOIN LATERAL (SELECT o.pubname FROM ours o WHERE o.puballtables OR EXISTS ("
    "  SELECT FROM (SELECT c.oid UNION SELECT relid FROM pg_partition_ancestors(c.oid) WHERE c.relispartition) t(oid) "
    "  WHERE EXISTS (SELECT FROM pg_publication_rel e WHERE e.prpubid = o.oid AND e.prrelid = t.oid)$schemas) "
    "  ORDER BY 1 LIMIT 1) p "
    "WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384 AND n.nspname <> 'information_schema' "
    "  AND c.relreplident <> 'f' AND NOT EXISTS (SELECT FROM usable i WHERE i.indrelid = c.oid AND "
    "    CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END) "
    "ORDER BY 2, 3";

/// Server 15 and later.
const char* kSchemasSql =
    " OR EXISTS (SELECT FROM pg_publication_namespace e JOIN pg_class k ON k.relnamespace = e.pnnspid "
    "WHERE e.pnpubid = o.oid AND k.oid = t.oid)";

}  // namespace

std::vector<RefusedTable> find_refused_tables(Connection& sql, const std::vector<std::string>& publications,
                                              const std::vector<std::string>& patterns) {
  std::string query = kRefusedSql;
  constexpr std::string_view kPlace = "$schemas";
  query.replace(query.find(kPlace), kPlace.size(), sql.server_version() >= 150000 ? kSchemasSql : "");
  const Rows rows = sql.query(query, {text_array(publications)}, kLookingForIdentity);
  const TablePatterns wanted(patterns);
  std::vector<RefusedTable> out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    // A partition may be wanted by the name of its root.
    if (!wanted.match(rows.at(i, 1), rows.at(i, 2)) && !wanted.match(rows.at(i, 5), rows.at(i, 6))) continue;
    out.push_back({.oid = rows.oid(i, 0),
                   .schema = std::string(rows.at(i, 1)),
                   .name = std::string(rows.at(i, 2)),
                   .publication = std::string(rows.at(i, 3)),
                   .has_key = rows.flag(i, 4)});
  }
  return out;
}

sources::SourceProblem refused_tables_problem(const Connection& sql, const std::vector<RefusedTable>& tables) {
  std::string names;
  std::string remedy;
  for (const RefusedTable& table : std::span(tables).first(std::min(tables.size(), kNamesShown))) {
    names += (names.empty() ? "" : ", ") + table.schema + "." + table.name;
    remedy += (remedy.empty() ? "ALTER TABLE " : " ALTER TABLE ") + sql.quoted_name(table.schema) + "." +
              sql.quoted_name(table.name) + " REPLICA IDENTITY " + (table.has_key ? "DEFAULT;" : "FULL;");
  }
  if (tables.size() > kNamesShown) names += " and " + std::to_string(tables.size() - kNamesShown) + " more";
  return {"TR143",
          "PostgreSQL refuses updates and deletes of " + names +
              ": without a replica identity they cannot be published, and publication \"" + tables.front().publication +
              "\" is to publish them",
          remedy + " -- or give back the key"};
}

bool IdentityWatch::tick(Connection& sql, const std::vector<std::string>& publications) {
  const auto began = SteadyClock::now();
  if (every_.count() == 0 || began < next_) return false;
  const std::vector<RefusedTable> tables = find_refused_tables(sql, publications, patterns_);
  next_ = began + std::max<SteadyClock::duration>(every_, (SteadyClock::now() - began) * kLookShare);
  if (tables == refused_) return false;
  refused_ = tables;
  problems_.clear();
  if (tables.empty()) {
    log::info("source.identity", "updates and deletes of all published tables are possible again");
  } else {
    const sources::SourceProblem& problem = problems_.emplace_back(refused_tables_problem(sql, tables));
    log::warn("source.identity", "{} [{}]; {}", problem.what, problem.code, problem.remedy);
  }
  return true;
}

}  // namespace tailrace::postgres
