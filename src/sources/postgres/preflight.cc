#include "sources/postgres/preflight.h"

#include <algorithm>

#include "base/error.h"
#include "sources/postgres/preflight_rules.h"
#include "sources/postgres/slot.h"

namespace tailrace::postgres {
namespace {

Finding finding_of(const Error& error, std::string title) {
  return {error.code(), Severity::kError, std::move(title), error.what(), error.remedy()};
}

void check_replication(const SourceSpec& spec, Connection& sql, PreflightReport& report) {
  try {
    const auto replication = Connection::open(spec, ConnectionKind::kReplication);
    identify_server(*replication, sql);
  } catch (const Error& error) {
    report.findings.push_back(finding_of(error, "replication connection"));
  }
}

}  // namespace

bool PreflightReport::passed() const {
  return std::ranges::none_of(findings, [](const Finding& finding) { return finding.severity == Severity::kError; });
}

PreflightReport check_source(const SourceSpec& spec, bool slot_is_ours) {
  PreflightReport report;
  try {
    const auto sql = Connection::open(spec, ConnectionKind::kSql);
    report.server_version = sql->server_version_text();
    report.database = sql->query("SELECT current_database()", "checking the source").at(0, 0);
    check_replication(spec, *sql, report);
    const std::vector<Candidate> tables = find_candidates(*sql, spec.tables);
    for (const Candidate& table : tables)
      report.tables.push_back(
          {table.oid, table.schema, table.name, table.estimated_rows, table.bytes, table.has_identity});
    const std::vector<Finding> found = examine(*sql, spec, tables, slot_is_ours);
    report.findings.insert(report.findings.end(), found.begin(), found.end());
  } catch (const Error& error) {
    report.findings.push_back(finding_of(error, "connection"));
  }
  return report;
}

}  // namespace tailrace::postgres
