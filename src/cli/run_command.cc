#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/registry.h"
#include "cli/run_pipelines.h"

namespace tailrace::cli {
namespace {

struct RunArguments {
  std::vector<std::string> files;
  RunRequest request;
};

std::vector<pipeline::PipelineSpec> read_files(const RunArguments& arguments, const GlobalOptions& globals) {
  std::vector<pipeline::PipelineSpec> specs;
  for (const std::string& file : arguments.files) {
    for (pipeline::PipelineSpec& spec : load_pipelines(file)) specs.push_back(std::move(spec));
  }
  place_state(specs, globals);
  return specs;
}

ExitCode run_files(const RunArguments& arguments, const GlobalOptions& globals) {
  return run_pipelines(read_files(arguments, globals), arguments.request, globals,
                       [&] { return read_files(arguments, globals); });
}

}  // namespace

void add_run_command(Frame& frame) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = frame.command(
      "run", "Run pipelines in the foreground", "tailrace run shop.yaml",
      [arguments](const GlobalOptions& globals) { return run_files(*arguments, globals); }, OnSignal::kTaken);
  command->add_option("pipeline", arguments->files, "Pipeline files")->required()->type_name("FILE");
  add_run_options(*command, arguments->request);
}

}  // namespace tailrace::cli
