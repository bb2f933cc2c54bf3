#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <regex>
#include <string>

#include "cli/commands.h"
#include "cli/registry.h"
#include "cli/terminal.h"
#include "sources/finding.h"

namespace tailrace::cli {
namespace {

struct InitOptions {
  std::string source;
  std::string output = "pipeline.yaml";
  bool force = false;
};

/// A name that suits slot, file and environment alike: lower-case letters, digits, underscores.
std::string pipeline_name(const std::string& database) {
  std::string name;
  for (const char c : database)
    name.push_back(std::isalnum(static_cast<unsigned char>(c)) != 0
                       ? static_cast<char>(std::tolower(static_cast<unsigned char>(c)))
                       : '_');
  return name.empty() ? "pipeline" : name;
}

bool holds_password(const std::string& conninfo) {
  static const std::regex in_uri(R"(^\w+://[^/@]*:[^/@]*@)");
  static const std::regex as_keyword(R"((^|[\s?&])(ssl)?password\s*=)");
  return std::regex_search(conninfo, in_uri) || std::regex_search(conninfo, as_keyword);
}

std::string yaml_quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "\"";
}

std::string url_variable(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name + "_URL";
}

std::string table_lines(const sources::SourceCheck& report) {
  std::string lines;
  for (const sources::SourceTable& table : report.tables)
    lines += fmt::format("      - {}{}\n", yaml_quoted(table.name.first + "." + table.name.second),
                         table.has_identity ? ""
                                            : "   # no key: updates and deletes of it cannot be followed unless "
                                              "REPLICA IDENTITY FULL is set");
  return lines;
}

std::string pipeline_text(const std::string& name, const std::string& url, const sources::SourceCheck& report) {
  return fmt::format(
      R"(# What this pipeline does: copies the tables once, then applies every change to {0}.duckdb, exactly once.
# All settings with their defaults: tailrace docs config
name: {0}
source:
  postgres:
    url: {1}
    # Patterns (tailrace docs table-patterns). ["public.*"] would take new tables along, too.
    tables:
{2}    # Made when missing; `tailrace drop {0} --slot --publication` removes what was made.
    slot: tailrace_{0}
    publication: {{name: tailrace_{0}, create: true}}
    snapshot: {{mode: initial, parallel: 2}}
    # Tables that are altered are noticed with their next row, or by a look at the catalog every 10 s. At once with an
    # event trigger, whose SQL `tailrace check` then shows:
    # ddl_messages: true
log:
  # Changes are durable here before PostgreSQL may forget them. Kept for replays, within max_size.
  journal: {{path: ./tailrace-data/{0}, keep: 24h, max_size: 20GiB}}
sinks:
  warehouse:
    duckdb:
      path: {0}.duckdb
      # Every version of every row, in <table>__history:
      # history: ["public.*"]
      # Let the file go when nothing flows, so that other programs can open it:
      # release_when_idle: 2s
limits: {{memory: 512MiB}}
)",
      name, url, table_lines(report));
}

void write_new_file(const std::filesystem::path& path, const std::string& text, bool force) {
  if (std::filesystem::exists(path) && !force)
    throw BadConfigError("TR217", fmt::format("{} is there already", path.string()),
                         "choose another name with -o, or --force to replace it");
  std::ofstream file(path);
  file << text;
  if (!file.flush())
    throw BadConfigError("TR218", fmt::format("{} cannot be written", path.string()), "choose another place with -o");
}

ExitCode init(const InitOptions& options, const GlobalOptions& globals) {
  const sources::SourceCheck report = source_for_url({.url = options.source}).check(false);
  if (report.tables.empty()) {
    for (const sources::Finding& finding : report.findings)
      if (finding.severity == sources::Severity::kError) throw RefusedError(finding.code, finding.what, finding.remedy);
    throw RefusedError("TR107", "the database has no table to follow", "name another database in the URI");
  }
  const std::string name = pipeline_name(report.database);
  const bool by_reference = holds_password(options.source);
  const std::string url = by_reference ? "${" + url_variable(name) + "}" : yaml_quoted(options.source);
  write_new_file(options.output, pipeline_text(name, url, report), options.force);
  if (globals.quiet) return ExitCode::kDone;
  std::cout << fmt::format("{} {}: {} tables, sink {}.duckdb{}. Nothing was created.\n",
                           painted("✓", Colour::kGreen, 1), options.output, report.tables.size(), name,
                           by_reference ? ", password by reference" : "");
  if (by_reference) std::cout << fmt::format("  before: export {}='{}'\n", url_variable(name), "postgresql://…");
  std::cout << fmt::format("  next: tailrace run {}\n", options.output);
  return ExitCode::kDone;
}

}  // namespace

void add_init_command(Frame& frame) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* command = frame.command("init", "Look at a database and write a commented pipeline file for it",
                                    "tailrace init postgresql://cdc@localhost/shop -o shop.yaml",
                                    [options](const GlobalOptions& globals) { return init(*options, globals); });
  command->add_option("source", options->source, "libpq URI or conninfo")->required();
  command->add_option("-o,--output", options->output, "The file to write")->capture_default_str();
  command->add_flag("--force", options->force, "Replace the file if it is there");
}

}  // namespace tailrace::cli
