#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "pipeline/control_client.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

struct SnapshotArguments {
  std::string name;
  std::vector<std::string> tables;
  std::string sink;
  std::string where;
};

ExitCode snapshot(const SnapshotArguments& arguments, const GlobalOptions& globals) {
  auto client = pipeline::ControlClient::connect(pipeline::find_state(globals.state, arguments.name));
  if (!client) {
    throw RetryError("TR514", "this pipeline is not running", "start it with `tailrace run` or `tailrace mirror`");
  }
  client->ask({{"do", "snapshot"}, {"tables", arguments.tables}, {"where", arguments.where}, {"sink", arguments.sink}});
  if (globals.json) {
    fmt::print("{}\n", nlohmann::json({{"tables", arguments.tables}}).dump());
  } else if (!globals.quiet) {
    fmt::print(stderr, "copying   {} beside the stream; `tailrace status` tells how far\n",
               fmt::join(arguments.tables, ", "));
  }
  return ExitCode::kDone;
}

}  // namespace

void add_snapshot_command(Frame& frame) {
  auto arguments = std::make_shared<SnapshotArguments>();
  CLI::App* command = frame.command("snapshot", "Copy tables again while the stream goes on, and write what differs",
                                    "tailrace snapshot shop public.orders", [arguments](const GlobalOptions& globals) {
                                      return snapshot(*arguments, globals);
                                    });
  command->add_option("name", arguments->name, "Pipeline")->required()->type_name("NAME");
  command->add_option("tables", arguments->tables, "Tables")->required()->type_name("SCHEMA.TABLE");
  command
      ->add_option(
          "--where", arguments->where,
          "Only the rows for which this holds, at the source or in the target (`tailrace docs copy-and-fence`)")
      ->type_name("SQL")
      ->check(CLI::Validator([](const std::string& text) { return text.empty() ? "empty" : ""; }, "", "not empty"));
  command->add_option("--sink", arguments->sink, "Only this sink")->type_name("SINK");
}

}  // namespace tailrace::cli
