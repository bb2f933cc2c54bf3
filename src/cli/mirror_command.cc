#include <algorithm>
#include <cctype>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/registry.h"
#include "cli/run_pipelines.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

struct MirrorArguments {
  std::string source;
  std::string target;
  std::vector<std::string> tables;
  std::vector<std::string> exclude;
  std::string name;
  bool history = false;
  RunRequest request;
  bool accept_upgrade = false;
};

/// "My-Shop.duckdb" -> "my_shop".
std::string name_from_target(const std::string& target) {
  std::string name = std::filesystem::path(target).stem().string();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::isalnum(c) != 0 ? std::tolower(c) : '_'); });
  return name.substr(0, 50);
}

pipeline::PipelineSpec spec_of(const MirrorArguments& arguments, const GlobalOptions& globals) {
  pipeline::PipelineSpec spec;
  spec.name = arguments.name.empty() ? name_from_target(arguments.target) : arguments.name;
  spec.sinks.push_back(sink_for_target("mirror", arguments.target, arguments.history));
  pipeline::check_name(spec.name);
  SourceRequest source;
  source.url = arguments.source;
  source.tables = arguments.tables;
  for (const std::string& pattern : arguments.exclude) source.tables.push_back("!" + pattern);
  source.slot = "tailrace_" + spec.name;
  source.publication = "tailrace_" + spec.name;
  source.accept_upgrade = arguments.accept_upgrade;
  spec.source = source_for_url(source);
  spec.state =
      globals.state.empty() ? pipeline::default_state_root() / spec.name : std::filesystem::path(globals.state);
  return spec;
}

}  // namespace

void add_mirror_command(Frame& frame) {
  auto arguments = std::make_shared<MirrorArguments>();
  CLI::App* command = frame.command(
      "mirror", "Keep a target exactly right from a database, without a config file",
      "tailrace mirror postgresql://localhost/shop shop.duckdb",
      [arguments](const GlobalOptions& globals) {
        std::vector<pipeline::PipelineSpec> specs;
        specs.push_back(spec_of(*arguments, globals));
        return run_pipelines(std::move(specs), arguments->request, globals);
      },
      OnSignal::kTaken);
  command->add_option("source", arguments->source, "libpq URI or keywords")->required()->type_name("SOURCE");
  command->add_option("target", arguments->target, "A path that ends in .duckdb")->required()->type_name("TARGET");
  command->add_option("--table", arguments->tables, "Only tables of this pattern, schema.table")->type_name("S.T");
  command->add_option("--exclude", arguments->exclude, "No tables of this pattern")->type_name("S.T");
  command->add_option("--name", arguments->name, "Name of the pipeline (default: from the target)");
  command->add_flag("--history", arguments->history, "Keep every version of every row in TABLE__history");
  command->add_flag("--accept-upgrade", arguments->accept_upgrade,
                    "The server is what pg_upgrade made of the one that was followed");
  add_run_options(*command, arguments->request);
}

}  // namespace tailrace::cli
