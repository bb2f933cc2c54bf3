#include "cli/plan_command.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/registry.h"
#include "cli/run_pipelines.h"
#include "pipeline/plan.h"

namespace tailrace::cli {
namespace {

void print_plan(const pipeline::Plan& plan) {
  fmt::print("{}  {}\n", plan.name, plan.running ? "running" : "not running");
  if (plan.changes.empty()) fmt::print("  nothing changes: every sink goes on where it is\n");
  for (const pipeline::PlannedChange& change : plan.changes)
    fmt::print("  {:<16}{:<16}{}{}\n", name_of(change.kind), change.sink, change.text,
               change.code.empty() ? "" : fmt::format(" [{}]", change.code));
}

ExitCode plan(const std::string& file, const GlobalOptions& globals) {
  std::vector<pipeline::PipelineSpec> specs = load_pipelines(file);
  place_state(specs, globals);
  bool refused = false;
  nlohmann::ordered_json pipelines = nlohmann::ordered_json::array();
  for (const pipeline::PipelineSpec& spec : specs) {
    const pipeline::Plan plan = pipeline::plan_pipeline(spec);
    refused = refused || plan.refused();
    if (globals.json) {
      pipelines.push_back(to_json(plan));
    } else {
      print_plan(plan);
    }
  }
  if (globals.json) fmt::print("{}\n", nlohmann::ordered_json({{"pipelines", pipelines}}).dump());
  return refused ? ExitCode::kBadRequest : ExitCode::kDone;
}

}  // namespace

void add_plan_command(Frame& frame) {
  auto file = std::make_shared<std::string>();
  CLI::App* command =
      frame.command("plan", "What a pipeline file would do to the pipeline as it is; touches nothing",
                    "tailrace plan shop.yaml", [file](const GlobalOptions& globals) { return plan(*file, globals); });
  command->add_option("file", *file, "Pipeline file")->required()->type_name("FILE");
}

}  // namespace tailrace::cli
