#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "pipeline/catalog.h"
#include "pipeline/control_client.h"
#include "pipeline/sink_runner.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

struct PauseArguments {
  std::string name;
  std::string sink;
};

/// Nobody runs the pipeline: its catalog is told.
void note(const pipeline::StatePaths& paths, const PauseArguments& arguments, bool paused) {
  const pipeline::StateDirectory held(paths.root);
  pipeline::Catalog catalog(paths.catalog(), pipeline::Catalog::Access::kWrite);
  bool known = false;
  for (const pipeline::SinkRecord& sink : catalog.sinks()) {
    if (!sink.attached || (!arguments.sink.empty() && sink.name != arguments.sink)) continue;
    catalog.set_text(pipeline::pause_key(sink.name), paused ? "yes" : "");
    known = true;
  }
  if (!known)
    throw BadConfigError("TR513", fmt::format("{} has no sink `{}`", arguments.name, arguments.sink),
                         "look at `tailrace status`");
}

ExitCode pause(const PauseArguments& arguments, const GlobalOptions& globals, bool paused) {
  const pipeline::StatePaths paths = pipeline::find_state(globals.state, arguments.name);
  if (auto client = pipeline::ControlClient::connect(paths)) {
    client->ask({{"do", "pause"}, {"sink", arguments.sink}, {"paused", paused}});
  } else {
    note(paths, arguments, paused);
  }
  const std::string which = arguments.sink.empty() ? "every sink" : "sink " + arguments.sink;
  if (!globals.quiet && !globals.json)
    fmt::print(stderr, "{}   {}{}\n", paused ? "paused " : "resumed", which,
               paused ? "; the log keeps what it lacks" : "");
  if (globals.json) fmt::print("{}\n", nlohmann::json({{"sink", arguments.sink}, {"paused", paused}}).dump());
  return ExitCode::kDone;
}

void add(Frame& frame, const std::string& word, const std::string& about, bool paused) {
  auto arguments = std::make_shared<PauseArguments>();
  CLI::App* command =
      frame.command(word, about, fmt::format("tailrace {} shop --sink warehouse", word),
                    [arguments, paused](const GlobalOptions& globals) { return pause(*arguments, globals, paused); });
  command->add_option("name", arguments->name, "Pipeline")->type_name("NAME");
  command->add_option("--sink", arguments->sink, "Which sink (default: every one)")->type_name("SINK");
}

}  // namespace

void add_pause_commands(Frame& frame) {
  add(frame, "pause", "Let a sink stand still, also over restarts; the log keeps what it lacks", true);
  add(frame, "resume", "Let a paused sink go on", false);
}

}  // namespace tailrace::cli
