#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/registry.h"
#include "cli/run_pipelines.h"
#include "cli/terminal.h"
#include "pipeline/check.h"

namespace tailrace::cli {
namespace {

using sources::Finding;
using sources::Severity;

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

std::size_t count(const std::vector<Finding>& findings, Severity severity) {
  return static_cast<std::size_t>(
      std::ranges::count_if(findings, [=](const Finding& finding) { return finding.severity == severity; }));
}

nlohmann::json json_of(const std::vector<Finding>& findings) {
  nlohmann::json out = nlohmann::json::array();
  for (const Finding& finding : findings)
    out.push_back({{"code", finding.code},
                   {"severity", severity_name(finding.severity)},
                   {"title", finding.title},
                   {"what", finding.what},
                   {"remedy", finding.remedy}});
  return out;
}

void print_fix_sql(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings)
    if (finding.severity != Severity::kNote && !finding.remedy.empty())
      std::cout << "-- " << finding.code << " " << finding.what << "\n" << finding.remedy << "\n";
}

void print_text(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    const bool fine = finding.severity == Severity::kNote;
    std::cout << fmt::format("{} {:<18} {}{}\n", mark(finding.severity), finding.title, fine ? "" : finding.code + " ",
                             finding.what);
    if (!fine && !finding.remedy.empty()) std::cout << "    fix: " << finding.remedy << "\n";
  }
}

void print_sum(const std::vector<Finding>& findings, const char* fixes) {
  const std::size_t errors = count(findings, Severity::kError);
  const std::size_t warnings = count(findings, Severity::kWarning);
  std::cout << fmt::format("{} check{}, {} error{}, {} warning{}. Nothing was created.{}\n", findings.size(),
                           findings.size() == 1 ? "" : "s", errors, errors == 1 ? "" : "s", warnings,
                           warnings == 1 ? "" : "s", errors + warnings > 0 ? fixes : "");
}

ExitCode check_source_uri(const CheckOptions& options, const GlobalOptions& globals) {
  const pipeline::SourceSetup source = source_for_url({.url = options.subject, .tables = options.tables});
  const sources::SourceCheck report = source.check(false);
  const std::vector<Finding>& findings = report.findings;
  const bool good = sources::passed(findings);
  if (globals.json) {
    const nlohmann::json document = {{"passed", good},
                                     {"server_version", report.server_version},
                                     {"database", report.database},
                                     {"tables", report.tables.size()},
                                     {"findings", json_of(findings)}};
    std::cout << document.dump() << "\n";
  } else if (options.fix_sql) {
    print_fix_sql(findings);
  } else {
    print_text(findings);
    print_sum(findings, " --fix-sql prints the SQL.");
  }
  return good ? ExitCode::kDone : ExitCode::kAnswerIsNo;
}

ExitCode check_file(const CheckOptions& options, const GlobalOptions& globals) {
  if (!options.tables.empty())
    throw BadConfigError("TR200", "--table means nothing beside a pipeline file", "the file says which tables");
  std::vector<pipeline::PipelineSpec> specs = load_pipelines(options.subject);
  place_state(specs, globals);
  nlohmann::json pipelines = nlohmann::json::array();
  std::vector<Finding> all;
  for (const pipeline::PipelineSpec& spec : specs) {
    const pipeline::PipelineCheck check = pipeline::check_pipeline(spec);
    all.insert(all.end(), check.findings.begin(), check.findings.end());
    if (globals.json) {
      pipelines.push_back(
          {{"name", check.name}, {"passed", sources::passed(check.findings)}, {"findings", json_of(check.findings)}});
    } else if (options.fix_sql) {
      print_fix_sql(check.findings);
    } else {
      if (specs.size() > 1) std::cout << check.name << ":\n";
      print_text(check.findings);
    }
  }
  const bool good = sources::passed(all);
  if (globals.json) {
    std::cout << nlohmann::json{{"passed", good}, {"pipelines", pipelines}}.dump() << "\n";
  } else if (!options.fix_sql) {
    print_sum(all, "");
  }
  return good ? ExitCode::kDone : ExitCode::kAnswerIsNo;
}

/// A conninfo has a "://" or a "="; everything else is the path of a file.
bool is_source(const std::string& subject) {
  return subject.find("://") != std::string::npos ||
         (subject.find('=') != std::string::npos && !std::filesystem::exists(subject));
}

ExitCode check(const CheckOptions& options, const GlobalOptions& globals) {
  return is_source(options.subject) ? check_source_uri(options, globals) : check_file(options, globals);
}

}  // namespace

void add_check_command(Frame& frame) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command =
      frame.command("check", "Look for whatever would stop a pipeline; creates nothing", "tailrace check shop.yaml",
                    [options](const GlobalOptions& globals) { return check(*options, globals); });
  command->add_option("subject", options->subject, "A source URI, or a pipeline file")->required();
  command->add_option("--table", options->tables, "Only these tables (patterns as schema.table)");
  command->add_flag("--fix-sql", options->fix_sql, "Print the SQL that mends what was found, and nothing else");
}

}  // namespace tailrace::cli
