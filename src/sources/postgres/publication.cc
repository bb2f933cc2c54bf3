#include "sources/postgres/publication.h"

#include <algorithm>
#include <unordered_set>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/table_patterns.h"

namespace tailrace::postgres {
namespace {

/// Partitions stand for themselves (publish_via_partition_root is off), so their parents, which hold no rows, are left
/// out.
const char* kCandidatesSql =
    "SELECT c.oid, n.nspname, c.relname, "
    "       CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false "
    "            WHEN 'i' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident) "
    "            ELSE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate "
    "                         AND i.indisvalid) END, "
    "       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND NOT i.indimmediate), "
    "       has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'), "
    "       pg_has_role(c.relowner, 'USAGE'), "
    "       c.relrowsecurity AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) "
    "         AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE')) "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT LIKE 'pg\\_%' "
    "  AND n.nspname <> 'information_schema' "
    "  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid "
    "                  AND d.deptype = 'e') "
    "ORDER BY 2, 3";

std::string append_name(const SourceSpec& spec) { return spec.publication + "_append"; }

bool publication_exists(Connection& sql, const std::string& name) {
  return !sql.query("SELECT FROM pg_publication WHERE pubname = $1", {name}, "looking for the publication").empty();
}

/// 0 when it does not exist.
Oid publication_oid(Connection& sql, const std::string& name) {
  const Rows rows =
      sql.query("SELECT oid FROM pg_publication WHERE pubname = $1", {name}, "looking for the publication");
  return rows.empty() ? Oid() : rows.oid(0, 0);
}

std::string publication_command(const Connection& sql, const std::string& name,
                                const std::vector<const Candidate*>& tables, const char* operations) {
  std::string command = "CREATE PUBLICATION " + sql.quoted_name(name);
  for (std::size_t i = 0; i < tables.size(); ++i) {
    command += i == 0 ? " FOR TABLE " : ", ";
    command += "ONLY " + sql.quoted_name(tables[i]->schema) + "." + sql.quoted_name(tables[i]->name);
  }
  return command + " WITH (publish = '" + std::string(operations) + "')";
}

/// One for each publication that is needed. The main one comes last: where it exists, the other one does too.
std::vector<std::string> publication_commands(const Connection& sql, const SourceSpec& spec,
                                              const std::vector<Candidate>& tables, bool append_exists) {
  std::vector<const Candidate*> followed;
  std::vector<const Candidate*> append_only;
  for (const Candidate& table : tables) (table.has_identity ? followed : append_only).push_back(&table);
  std::vector<std::string> commands;
  if (!append_only.empty() && !append_exists)
    commands.push_back(publication_command(sql, append_name(spec), append_only, "insert, truncate"));
  commands.push_back(publication_command(sql, spec.publication, followed, "insert, update, delete, truncate"));
  return commands;
}

}  // namespace

std::vector<Candidate> find_candidates(Connection& sql, const std::vector<std::string>& patterns) {
  const Rows rows = sql.query(kCandidatesSql, "looking for tables");
  const TablePatterns wanted(patterns);
  std::vector<Candidate> out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!wanted.match(rows.at(i, 1), rows.at(i, 2))) continue;
    Candidate table;
    table.oid = rows.oid(i, 0);
    table.schema = rows.at(i, 1);
    table.name = rows.at(i, 2);
    table.has_identity = rows.flag(i, 3);
    table.deferrable_key = rows.flag(i, 4);
    table.may_select = rows.flag(i, 5);
    table.may_publish = rows.flag(i, 6);
    table.row_security = rows.flag(i, 7);
    out.push_back(std::move(table));
  }
  return out;
}

std::vector<std::string> existing_publications(Connection& sql, const SourceSpec& spec) {
  std::vector<std::string> names;
  for (const std::string& name : {spec.publication, append_name(spec)})
    if (publication_exists(sql, name)) names.push_back(name);
  return names;
}

std::vector<std::string> ensure_publications(Connection& sql, const SourceSpec& spec,
                                             const std::vector<Candidate>& tables,
                                             const std::function<void(const std::vector<Oid>& made)>& remember) {
  std::vector<std::string> names = existing_publications(sql, spec);
  if (!names.empty() && names.front() == spec.publication) return names;
  if (!spec.create_publication)
    throw RefusedError("TR119", "publication \"" + spec.publication + "\" does not exist",
                       "CREATE PUBLICATION " + sql.quoted_name(spec.publication) + " FOR ALL TABLES;");
  constexpr const char* kDoing = "making the publication (its role must own the tables and may create in the database)";
  sql.query("BEGIN", kDoing);
  for (const std::string& command : publication_commands(sql, spec, tables, !names.empty())) sql.query(command, kDoing);
  const std::vector<std::string> all = existing_publications(sql, spec);
  std::vector<Oid> made;
  for (const std::string& name : all)
    if (std::ranges::find(names, name) == names.end()) made.push_back(publication_oid(sql, name));
  remember(made);
  TAILRACE_CRASH_POINT("source.publication_remembered");
  sql.query("COMMIT", kDoing);
  return all;
}

std::vector<std::string> publications_of_others(Connection& sql, const std::vector<std::string>& names,
                                                const std::vector<Oid>& made) {
  std::vector<std::string> others;
  for (const std::string& name : names)
    if (std::ranges::find(made, publication_oid(sql, name)) == made.end()) others.push_back(name);
  return others;
}

std::string publication_sql(const Connection& sql, const SourceSpec& spec, const std::vector<Candidate>& tables) {
  std::string out;
  for (const std::string& command : publication_commands(sql, spec, tables, false))
    out += (out.empty() ? "" : " ") + command + ";";
  return out;
}

std::string unpublished_tables(Connection& sql, const std::vector<std::string>& publications,
                               const std::vector<Candidate>& tables) {
  std::string names;
  for (const std::string& name : publications) names += (names.empty() ? "" : ", ") + sql.quoted_text(name);
  const Rows published = sql.query(
      "SELECT c.oid FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname "
      "JOIN pg_class r ON r.relnamespace = n.oid AND r.relname = p.tablename "
      "CROSS JOIN LATERAL (SELECT r.oid UNION SELECT relid FROM pg_partition_tree(r.oid)) c(oid) "
      "WHERE p.pubname IN (" +
          names + ")",
      "reading the publication");
  std::unordered_set<Oid> covered;
  for (std::size_t i = 0; i < published.size(); ++i) covered.insert(published.oid(i, 0));
  constexpr std::size_t kNamesListed = 5;
  std::string out;
  std::size_t count = 0;
  for (const Candidate& table : tables) {
    if (covered.contains(table.oid)) continue;
    if (++count <= kNamesListed) out += (count > 1 ? ", " : "") + table.schema + "." + table.name;
  }
  if (count > kNamesListed) out += " and " + std::to_string(count - kNamesListed) + " more";
  return out;
}

void refuse_unfit_publications(Connection& sql, const SourceSpec& spec, const std::vector<std::string>& publications,
                               const std::vector<Candidate>& tables) {
  if (const std::string missing = unpublished_tables(sql, publications, tables);
      spec.create_publication && !missing.empty())
    throw RefusedError("TR119", "publication \"" + spec.publication + "\" exists, but lacks " + missing,
                       "DROP PUBLICATION " + sql.quoted_name(spec.publication) + "; -- it is then made anew");
  if (Catalog(sql).published_tables(publications, spec.tables).empty())
    throw RefusedError("TR119", "publication \"" + spec.publication + "\" has none of the tables",
                       "ALTER PUBLICATION " + sql.quoted_name(spec.publication) + " ADD TABLE …;");
}

bool publishes_all_changes(Connection& sql, const std::string& publication) {
  const Rows rows = sql.query("SELECT pubinsert AND pubupdate AND pubdelete FROM pg_publication WHERE pubname = $1",
                              {publication}, "reading the publication");
  return !rows.empty() && rows.flag(0, 0);
}

std::string with_schemas(const Connection& sql, std::string query, const char* part) {
  constexpr std::string_view kPlace = "$schemas";
  return query.replace(query.find(kPlace), kPlace.size(), sql.server_version() >= 150000 ? part : "");
}

std::string describe_publication(const std::vector<PublishedTable>& tables) {
  std::string out;
  for (const PublishedTable& table : tables) {
    std::string filter = table.row_filter;
    std::ranges::replace(filter, '\n', ' ');
    out += std::to_string(table.oid.value()) + '\t' + filter + '\t' + table.schema + '.' + table.name + '\n';
  }
  return out;
}

std::string lost_tables(std::string_view then, std::string_view now) {
  // By oid: a table that was only renamed is still there.
  const std::string lines = "\n" + std::string(now);
  std::string out;
  while (!then.empty()) {
    const std::string_view line = then.substr(0, then.find('\n'));
    then.remove_prefix(std::min(line.size() + 1, then.size()));
    const auto name = line.rfind('\t');
    if (name == std::string_view::npos) continue;
    if (lines.find("\n" + std::string(line.substr(0, line.find('\t') + 1))) != std::string::npos) continue;
    out += (out.empty() ? "" : ", ") + std::string(line.substr(name + 1));
  }
  return out;
}

}  // namespace tailrace::postgres
