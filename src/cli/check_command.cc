#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "sources/postgres/preflight.h"

namespace tailrace::cli {
namespace {

using postgres::Finding;
using postgres::PreflightReport;
using postgres::Severity;

struct CheckOptions {
  std::string subject;
  std::vector<std::string> tables;
  bool fix_sql = false;
};

const char* severity_name(Severity severity) {
  switch (severity) {
    case Severity::kNote: return "note";
    case Severity::kWarning: return "warning";
    case Severity::kError: return "error";
  }
  return "error";
}

std::string mark(Severity severity) {
  switch (severity) {
    case Severity::kNote: return painted("✓", Colour::kGreen, 1);
    case Severity::kWarning: return painted("!", Colour::kYellow, 1);
    case Severity::kError: return painted("✗", Colour::kRed, 1);
  }
  return {};
}

std::size_t count(const PreflightReport& report, Severity severity) {
  std::size_t n = 0;
  for (const Finding& finding : report.findings) n += finding.severity == severity ? 1 : 0;
  return n;
}

void print_json(const PreflightReport& report) {
  nlohmann::json findings = nlohmann::json::array();
  for (const Finding& finding : report.findings)
    findings.push_back({{"code", finding.code},
                        {"severity", severity_name(finding.severity)},
                        {"title", finding.title},
                        {"what", finding.what},
                        {"remedy", finding.remedy}});
  const nlohmann::json document = {{"passed", report.passed()},
                                   {"server_version", report.server_version},
                                   {"database", report.database},
                                   {"tables", report.tables.size()},
                                   {"findings", findings}};
  std::cout << document.dump() << "\n";
}

void print_fix_sql(const PreflightReport& report) {
  for (const Finding& finding : report.findings)
    if (finding.severity != Severity::kNote && !finding.remedy.empty())
      std::cout << "-- " << finding.code << " " << finding.what << "\n" << finding.remedy << "\n";
}

void print_text(const PreflightReport& report) {
  for (const Finding& finding : report.findings) {
    const bool fine = finding.severity == Severity::kNote;
    std::cout << fmt::format("{} {:<18} {}{}\n", mark(finding.severity), finding.title, fine ? "" : finding.code + " ",
                             finding.what);
    if (!fine && !finding.remedy.empty()) std::cout << "    fix: " << finding.remedy << "\n";
  }
  const std::size_t errors = count(report, Severity::kError);
  const std::size_t warnings = count(report, Severity::kWarning);
  std::cout << fmt::format("{} checks, {} error{}, {} warning{}. Nothing was created.{}\n", report.findings.size(),
                           errors, errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s",
                           errors + warnings > 0 ? " --fix-sql prints the SQL." : "");
}

ExitCode check_source_uri(const CheckOptions& options, const GlobalOptions& globals) {
  postgres::SourceSpec spec;
  spec.conninfo = options.subject;
  spec.tables = options.tables;
  const PreflightReport report = postgres::check_source(spec, false);
  if (globals.json)
    print_json(report);
  else if (options.fix_sql)
    print_fix_sql(report);
  else
    print_text(report);
  return report.passed() ? ExitCode::kDone : ExitCode::kAnswerIsNo;
}

}  // namespace

void add_check_command(Frame& frame) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command =
      frame.command("check", "Look for whatever would stop a pipeline; creates nothing",
                    "tailrace check postgresql://cdc@localhost/shop",
                    [options](const GlobalOptions& globals) { return check_source_uri(*options, globals); });
  command->add_option("subject", options->subject, "A source URI, or a pipeline file")->required();
  command->add_option("--table", options->tables, "Only these tables (patterns as schema.table)");
  command->add_flag("--fix-sql", options->fix_sql, "Print the SQL that mends what was found, and nothing else");
}

}  // namespace tailrace::cli
