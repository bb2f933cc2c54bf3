#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/moment.h"
#include "pipeline/control_client.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

/// Looking for the place may mean reading the whole log.
constexpr std::chrono::milliseconds kPatience = std::chrono::minutes(10);

struct RewindArguments {
  std::string name;
  std::string sink;
  std::string to;
};

ExitCode rewind(const RewindArguments& arguments, const GlobalOptions& globals) {
  const bool snapshot = arguments.to == "snapshot";
  const Moment to = snapshot ? Moment{} : parse_moment(arguments.to, "--to");
  auto client = pipeline::ControlClient::connect(pipeline::find_state(globals.state, arguments.name));
  if (!client)
    throw RetryError("TR514", "this pipeline is not running", "start it with `tailrace run` or `tailrace mirror`");
  const nlohmann::json answer = client->ask({{"do", "rewind"},
                                             {"sink", arguments.sink},
                                             {"lsn", to.lsn ? to.lsn->str() : ""},
                                             {"time", to.time.micros()},
                                             {"snapshot", snapshot},
                                             {"timeout_ms", kPatience.count()}});
  if (globals.json) {
    fmt::print("{}\n", answer.dump());
  } else if (!globals.quiet && snapshot) {
    fmt::print(stderr, "copying   every table of {}; `tailrace status` tells how far\n", arguments.sink);
  } else if (!globals.quiet) {
    fmt::print(stderr, "rewound   {} to {}; what follows in the log comes again\n", arguments.sink,
               answer.value("lsn", ""));
  }
  return ExitCode::kDone;
}

}  // namespace

void add_rewind_command(Frame& frame) {
  auto arguments = std::make_shared<RewindArguments>();
  CLI::App* command =
      frame.command("rewind", "Take a sink back to an earlier place of the log and let it go on from there",
                    "tailrace rewind shop --sink cache --to 2026-01-31T12:00:00Z",
                    [arguments](const GlobalOptions& globals) { return rewind(*arguments, globals); });
  command->add_option("name", arguments->name, "Pipeline")->required()->type_name("NAME");
  command->add_option("--sink", arguments->sink, "Which sink")->required()->type_name("SINK");
  command
      ->add_option("--to", arguments->to,
                   "The last transaction that ended by then; `snapshot`: every table is copied again as it is now")
      ->required()
      ->type_name("LSN|TIME|snapshot");
}

}  // namespace tailrace::cli
