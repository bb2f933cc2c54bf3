#include "sources/postgres/preflight.h"

#include <fmt/format.h>

#include "base/error.h"
#include "sources/postgres/preflight_rules.h"
#include "sources/postgres/slot.h"

namespace tailrace::postgres {
namespace {

Finding finding_of(const Error& error, std::string title) {
  return {error.code(), Severity::kError, std::move(title), error.what(), error.remedy()};
}

Finding server_note(const sources::SourceCheck& report) {
  const std::size_t tables = report.tables.size();
  return {"", Severity::kNote, "source",
          fmt::format("PostgreSQL {}, database {}, {} table{}", report.server_version, report.database, tables,
                      tables == 1 ? "" : "s"),
          ""};
}

void check_replication(const SourceSpec& spec, Connection& sql, sources::SourceCheck& report) {
  try {
    const auto replication = Connection::open(spec, ConnectionKind::kReplication);
    identify_server(*replication, sql);
  } catch (const Error& error) {
    report.findings.push_back(finding_of(error, "replication connection"));
  }
}

}  // namespace

sources::SourceCheck check_source(const SourceSpec& spec, bool slot_is_ours) {
  sources::SourceCheck report;
  try {
    const auto sql = Connection::open(spec, ConnectionKind::kSql);
    report.server_version = sql->server_version_text();
    report.database = sql->query("SELECT current_database()", "checking the source").at(0, 0);
    check_replication(spec, *sql, report);
    const std::vector<Candidate> tables = find_candidates(*sql, spec.tables);
    for (const Candidate& table : tables)
      report.tables.push_back({.name = {table.schema, table.name}, .has_identity = table.has_identity});
    const std::vector<Finding> found = examine(*sql, spec, tables, slot_is_ours);
    report.findings.insert(report.findings.end(), found.begin(), found.end());
  } catch (const Error& error) {
    report.findings.push_back(finding_of(error, "connection"));
  }
  if (!report.server_version.empty()) report.findings.insert(report.findings.begin(), server_note(report));
  return report;
}

}  // namespace tailrace::postgres
