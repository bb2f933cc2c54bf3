#include <fmt/format.h>

#include <memory>
#include <string>

#include "base/lsn.h"
#include "cli/commands.h"
#include "config/quantity.h"
#include "pipeline/control_client.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

struct WaitArguments {
  std::string name;
  std::string lsn;
  std::string timeout = "30s";
  std::string sink;
  bool allow_held = false;
};

ExitCode wait(const WaitArguments& arguments, const GlobalOptions& globals) {
  const auto timeout = config::parse_duration(arguments.timeout);
  if (!timeout) throw BadConfigError("TR202", "--timeout is no duration", "write it as 30s or 2m");
  if (!arguments.lsn.empty() && !Lsn::parse(arguments.lsn)) {
    throw BadConfigError("TR202", "--lsn is no LSN", "write it as 0/16B3748");
  }
  auto client = pipeline::ControlClient::connect(pipeline::find_state(globals.state, arguments.name));
  if (!client) {
    throw RetryError("TR514", "this pipeline is not running", "start it with `tailrace run` or `tailrace mirror`");
  }
  const nlohmann::json done = client->ask({{"do", "wait"},
                                           {"lsn", arguments.lsn},
                                           {"sink", arguments.sink},
                                           {"timeout_ms", timeout->count()},
                                           {"allow_held", arguments.allow_held}});
  if (globals.json) {
    fmt::print("{}\n", done.dump());
  } else if (!globals.quiet) {
    fmt::print(stderr, "reached {}\n", done.value("lsn", ""));
  }
  return ExitCode::kDone;
}

}  // namespace

void add_wait_command(Frame& frame) {
  auto arguments = std::make_shared<WaitArguments>();
  CLI::App* command = frame.command("wait", "Return when every sink holds what is committed at the source now",
                                    "tailrace wait shop --timeout 10s",
                                    [arguments](const GlobalOptions& globals) { return wait(*arguments, globals); });
  command->add_option("name", arguments->name, "Pipeline (default: the only one here)")->type_name("NAME");
  command->add_option("--lsn", arguments->lsn, "Wait for this place instead")->type_name("LSN");
  command->add_option("--timeout", arguments->timeout, "Give up with exit code 4 (default 30s)")->type_name("DURATION");
  command->add_option("--sink", arguments->sink, "Only this sink")->type_name("SINK");
  command->add_flag("--allow-held", arguments->allow_held,
                    "Also return while tables are held, or copied again because they were");
}

}  // namespace tailrace::cli
