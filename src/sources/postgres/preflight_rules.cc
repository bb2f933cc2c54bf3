#include "sources/postgres/preflight_rules.h"

#include <strings.h>

#include <algorithm>
#include <functional>
#include <iterator>

#include "base/error.h"
#include "base/table_patterns.h"
#include "sources/postgres/adoption.h"
#include "sources/postgres/catalog.h"
#include "sources/postgres/ddl_trigger.h"
#include "sources/postgres/identity_watch.h"
#include "sources/postgres/server_load.h"
#include "sources/postgres/slot.h"
#include "sources/postgres/standby.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kCheckingSource = "checking the source";
constexpr std::size_t kNamesShown = 5;

std::string qualified(const Connection& sql, const Candidate& table) {
  return sql.quoted_name(table.schema) + "." + sql.quoted_name(table.name);
}

/// What one rule works with.
struct Examination {
  Connection& sql;
  const SourceSpec& spec;
  const std::vector<Candidate>& tables;
  bool slot_is_ours;
  std::vector<Finding> findings;

  void add(Finding finding) { findings.push_back(std::move(finding)); }

  /// One finding for all tables that `applies` to; `remedy` is made for each of them.
  void add_for_tables(Finding finding, const std::function<bool(const Candidate&)>& applies,
                      const std::function<std::string(const Candidate&)>& remedy) {
    std::string names;
    std::size_t count = 0;
    for (const Candidate& table : tables) {
      if (!applies(table)) continue;
      if (++count > kNamesShown) continue;
      names += (count > 1 ? ", " : "") + table.schema + "." + table.name;
      finding.remedy += (count > 1 ? "\n" : "") + remedy(table);
    }
    if (count == 0) return;
    if (count > kNamesShown) names += " and " + std::to_string(count - kNamesShown) + " more";
    finding.what = names + ": " + finding.what;
    add(std::move(finding));
  }
};

void examine_standby(Examination& now) {
  if (now.sql.server_version() < 160000)
    return now.add({"TR132", Severity::kError, "standby",
                    "this server is a standby, and only from version 16 on has one slots", "connect to the primary"});
  const Rows rows = now.sql.query(
      "SELECT current_setting('hot_standby_feedback'), current_setting('primary_slot_name')", kCheckingSource);
  if (rows.at(0, 0) != "on" || rows.at(0, 1).empty())
    now.add({"TR132", Severity::kWarning, "standby",
             "the primary does not know what this standby's slot needs and may make it useless",
             "ALTER SYSTEM SET hot_standby_feedback = on; and primary_slot_name, with a physical slot at the primary"});
}

void examine_server(Examination& now) {
  if (now.sql.server_version() < 130000)
    now.add({"TR120", Severity::kError, "server version",
             "PostgreSQL " + now.sql.server_version_text() + " is older than 13, the oldest that is supported",
             "upgrade the server"});
  const Rows rows = now.sql.query(
      "SELECT current_setting('wal_level'), pg_is_in_recovery(), current_setting('max_replication_slots')::int, "
      "(SELECT count(*) FROM pg_replication_slots), "
      "(SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size')",
      kCheckingSource);
  // From 19 on the server raises the level by itself when a logical slot needs it.
  if (rows.at(0, 0) != "logical" && now.sql.server_version() < 190000)
    now.add({"TR104", Severity::kError, "wal_level",
             "wal_level is " + std::string(rows.at(0, 0)) + ": the server does not write what logical decoding needs",
             "ALTER SYSTEM SET wal_level = logical; -- then restart the server"});
  if (rows.flag(0, 1)) examine_standby(now);
  if (rows.number(0, 3) >= rows.number(0, 2) && !now.slot_is_ours && !now.spec.adopt_slot)
    now.add({"TR108", Severity::kError, "replication slots", "all " + std::string(rows.at(0, 2)) + " slots are taken",
             "ALTER SYSTEM SET max_replication_slots = " + std::to_string(rows.number(0, 2) + 10) +
                 "; -- then restart the server, or drop an unused slot"});
  if (rows.number(0, 4) < 0)
    now.add({"TR126", Severity::kNote, "WAL retention",
             "max_slot_wal_keep_size is not set: while Tailrace is away the server keeps all WAL and its disk may fill",
             "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();"});
}

void examine_adoption(Examination& now, const std::optional<SlotState>& slot) {
  const std::optional<std::string> reason = reason_not_to_adopt(now.sql, slot);
  if (!reason) return;
  now.add({"TR111", Severity::kError, "slot to adopt",
           "replication slot \"" + now.spec.slot + "\" cannot be taken over: " + *reason,
           slot ? "stop its reader, or name another slot"
                : "SELECT pg_create_logical_replication_slot(" + now.sql.quoted_text(now.spec.slot) +
                      ", 'pgoutput'); -- after the publication"});
}

void examine_slot(Examination& now) {
  if (now.slot_is_ours) return;
  const auto slot = read_slot(now.sql, now.spec.slot);
  if (now.spec.adopt_slot) return examine_adoption(now, slot);
  if (!slot) return;
  const std::string drop = "SELECT pg_drop_replication_slot(" + now.sql.quoted_text(now.spec.slot) +
                           "); -- or give another name for the slot";
  std::string what =
      "replication slot \"" + now.spec.slot + "\" exists already, and this pipeline's state does not know it";
  if (slot->active_pid != 0) what += "; process " + std::to_string(slot->active_pid) + " is reading from it";
  if (slot->wal_status == "lost") what += "; it is lost";
  if (slot->plugin != "pgoutput") what += "; it is of plugin " + slot->plugin;
  now.add({"TR111", Severity::kError, "an old slot", what, drop});
}

/// Whether somebody's publication has such a table: a partitioned one, which stands for its partitions there.
bool published(const Examination& now, const std::vector<std::string>& patterns) {
  const std::vector<std::string> publications = existing_publications(now.sql, now.spec);
  return !publications.empty() && !Catalog(now.sql).published_tables(publications, patterns).empty();
}

void examine_selection(Examination& now) {
  bool all_found = true;
  for (const std::string& pattern : now.spec.tables) {
    if (!TablePatterns::names_one_table(pattern)) continue;
    const TablePatterns one({pattern});
    const bool found =
        std::ranges::any_of(now.tables, [&](const Candidate& table) { return one.match(table.schema, table.name); }) ||
        published(now, {pattern});
    all_found = all_found && found;
    if (!found)
      now.add({"TR107", Severity::kError, "missing table", "there is no ordinary table " + pattern,
               "check the spelling: schema.table, without quotes"});
  }
  if (now.tables.empty() && all_found && !published(now, now.spec.tables))
    now.add({"TR107", Severity::kError, "no table", "no table of this database is wanted",
             "create a table, or change the table patterns"});
}

/// Names each of these tables that no publication holds. They are few, and asking for one alone would take long.
void examine_published(Examination& now, const std::vector<std::string>& publications,
                       const std::vector<Candidate>& tables) {
  if (tables.empty() || unpublished_tables(now.sql, publications, tables).empty()) return;
  if (tables.size() == 1) {
    const std::string name = tables.front().schema + "." + tables.front().name;
    now.add({"TR133", Severity::kWarning, name, name + " is not in the publication, so it is not followed",
             "exclude it by name, or start a new pipeline that covers it"});
    return;
  }
  const auto middle = tables.begin() + static_cast<std::ptrdiff_t>(tables.size() / 2);
  examine_published(now, publications, {tables.begin(), middle});
  examine_published(now, publications, {middle, tables.end()});
}

void examine_rights(Examination& now) {
  const Rows rows = now.sql.query(
      "SELECT current_user, has_database_privilege(current_database(), 'CREATE'), current_database()", kCheckingSource);
  const std::string role = now.sql.quoted_name(rows.at(0, 0));
  now.add_for_tables(
      {"TR106", Severity::kError, "rights", "the role may not read them", ""},
      [](const Candidate& table) { return !table.may_select; },
      [&](const Candidate& table) {
        return "GRANT USAGE ON SCHEMA " + now.sql.quoted_name(table.schema) + " TO " + role + "; GRANT SELECT ON " +
               qualified(now.sql, table) + " TO " + role + ";";
      });
  now.add_for_tables(
      {"TR124", Severity::kError, "row security", "policies hide rows from this role, so a copy would be incomplete",
       ""},
      [](const Candidate& table) { return table.row_security; },
      [&](const Candidate&) { return "ALTER ROLE " + role + " BYPASSRLS;"; });
  const std::vector<std::string> publications = existing_publications(now.sql, now.spec);
  if (!publications.empty() && publications.front() == now.spec.publication)
    return examine_published(now, publications, now.tables);
  if (at_standby(now.sql)) {
    now.add({"TR119", Severity::kError, "publication",
             "publication \"" + now.spec.publication + "\" does not exist, and a standby cannot make it",
             publication_sql(now.sql, now.spec, now.tables) + " -- at the primary"});
    return;
  }
  if (!now.spec.create_publication) {
    now.add({"TR119", Severity::kError, "publication", "publication \"" + now.spec.publication + "\" does not exist",
             "CREATE PUBLICATION " + now.sql.quoted_name(now.spec.publication) + " FOR ALL TABLES;"});
    return;
  }
  if (!rows.flag(0, 1))
    now.add({"TR119", Severity::kError, "publication", "the role may not create a publication in this database",
             "GRANT CREATE ON DATABASE " + now.sql.quoted_name(rows.at(0, 2)) + " TO " + role + ";"});
  now.add_for_tables(
      {"TR119", Severity::kError, "publication", "the role does not own them and cannot publish them", ""},
      [](const Candidate& table) { return !table.may_publish; },
      [&](const Candidate& table) {
        return "ALTER TABLE " + qualified(now.sql, table) + " OWNER TO " + role +
               "; -- or let the owner create the publication";
      });
}

void examine_load(Examination& now) {
  const bool bounded = now.spec.copy_max_active_sessions > 0 || now.spec.copy_max_replica_lag > 0;
  if (bounded && !sees_server_load(now.sql))
    now.add({"TR140", Severity::kError, "server load", kServerLoadHidden, server_load_remedy(now.sql)});
}

void examine_identities(Examination& now) {
  const std::vector<RefusedTable> refused =
      find_refused_tables(now.sql, existing_publications(now.sql, now.spec), now.spec.tables);
  if (!refused.empty()) {
    const sources::SourceProblem problem = refused_tables_problem(now.sql, refused);
    now.add({problem.code, Severity::kWarning, "refused updates", problem.what, problem.remedy});
  }
  const auto lacks_identity = [&](const Candidate& table) {
    return !table.has_identity &&
           std::ranges::none_of(refused, [&](const RefusedTable& other) { return other.oid == table.oid; });
  };
  now.add_for_tables(
      {"TR123", Severity::kWarning, "deferrable key",
       "the primary key is deferrable and identifies nothing: inserts and truncates only are followed", ""},
      [&](const Candidate& table) { return table.deferrable_key && lacks_identity(table); },
      [&](const Candidate& table) { return "ALTER TABLE " + qualified(now.sql, table) + " REPLICA IDENTITY FULL;"; });
  now.add_for_tables(
      {"TR122", Severity::kWarning, "no replica identity",
       "no key: inserts and truncates only are followed. Publishing updates without one would make the application's "
       "UPDATE and DELETE fail, so they are left out",
       ""},
      [&](const Candidate& table) { return !table.deferrable_key && lacks_identity(table); },
      [&](const Candidate& table) { return "ALTER TABLE " + qualified(now.sql, table) + " REPLICA IDENTITY FULL;"; });
}

void examine_names(Examination& now) {
  const Rows tables = now.sql.query(
      "SELECT lower(n.nspname || '.' || c.relname), c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = "
      "c.relnamespace "
      "WHERE c.relkind = 'r' AND lower(n.nspname || '.' || c.relname) IN (SELECT lower(n2.nspname || '.' || "
      "c2.relname) "
      "FROM pg_class c2 JOIN pg_namespace n2 ON n2.oid = c2.relnamespace WHERE c2.relkind = 'r' GROUP BY 1 "
      "HAVING count(*) > 1) ORDER BY 1",
      kCheckingSource);
  const Rows columns = now.sql.query(
      "SELECT DISTINCT a.attrelid FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped "
      "GROUP BY a.attrelid, lower(a.attname) HAVING count(*) > 1",
      kCheckingSource);
  const auto listed = [](const Rows& rows, std::size_t column, Oid oid) {
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (rows.oid(i, column) == oid) return true;
    return false;
  };
  const auto wanted_twins = [&](const Candidate& table) {
    if (!listed(tables, 1, table.oid)) return false;
    return std::ranges::count_if(now.tables, [&](const Candidate& other) {
             return listed(tables, 1, other.oid) && strcasecmp(table.name.c_str(), other.name.c_str()) == 0 &&
                    strcasecmp(table.schema.c_str(), other.schema.c_str()) == 0;
           }) > 1;
  };
  now.add_for_tables(
      {"TR125", Severity::kError, "names", "names differ only in case, which targets do not tell apart", ""},
      wanted_twins,
      [](const Candidate& table) { return "leave one out: \"!" + table.schema + "." + table.name + "\""; });
  now.add_for_tables(
      {"TR125", Severity::kError, "names", "column names differ only in case, which targets do not tell apart", ""},
      [&](const Candidate& table) { return listed(columns, 0, table.oid); },
      [&](const Candidate& table) {
        return "ALTER TABLE " + qualified(now.sql, table) + " RENAME COLUMN ... TO ...;";
      });
}

}  // namespace

std::vector<Finding> examine(Connection& sql, const SourceSpec& spec, const std::vector<Candidate>& tables,
                             bool slot_is_ours) {
  Examination now{sql, spec, tables, slot_is_ours, {}};
  examine_server(now);
  examine_selection(now);
  examine_slot(now);
  examine_rights(now);
  examine_load(now);
  examine_identities(now);
  examine_names(now);
  if (spec.ddl_messages) std::ranges::move(examine_ddl_trigger(sql), std::back_inserter(now.findings));
  return std::move(now.findings);
}

void refuse_errors(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings)
    if (finding.severity == Severity::kError) throw RefusedError(finding.code, finding.what, finding.remedy);
}

}  // namespace tailrace::postgres
