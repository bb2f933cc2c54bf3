#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/registry.h"
#include "cli/terminal.h"
#include "config/quantity.h"
#include "journal/inspect.h"
#include "pipeline/catalog.h"
#include "pipeline/control_client.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

using pipeline::Catalog;

struct BackupArguments {
  std::string name;
  std::string sink;
  std::string file;
  std::string timeout = "30s";
};

/// A sink of a pipeline as its catalog remembers it.
struct RecordedTarget {
  pipeline::SinkRecord record;
  pipeline::SinkSetup setup;
  pipeline::TargetToCheck target;
};

RecordedTarget find_target(Catalog& catalog, const std::string& wanted) {
  std::vector<pipeline::SinkRecord> records = catalog.sinks();
  std::erase_if(records, [&wanted](const pipeline::SinkRecord& record) {
    return !record.attached || (!wanted.empty() && record.name != wanted);
  });
  if (records.size() != 1)
    throw BadConfigError(
        "TR513",
        wanted.empty() ? "the pipeline has not exactly one sink" : fmt::format("there is no sink `{}`", wanted),
        "name one with --sink; `tailrace status` shows them");
  RecordedTarget found;
  found.record = records.front();
  found.setup = recorded_sink(found.record.kind, found.record.name, found.record.display);
  found.target = {.pipeline = catalog.text("name"), .source_id = catalog.source_id(), .tables = {}};
  if (!found.setup.back_up)
    throw BadConfigError("TR513", fmt::format("a target of kind {} has no backup of its own", found.record.kind),
                         "use that system's own backup");
  return found;
}

void report(const char* done, const std::string& what, const std::string& kept, const GlobalOptions& globals) {
  if (globals.json) {
    fmt::print("{}\n", nlohmann::ordered_json({{"done", done}, {"what", what}, {"kept", kept}}).dump());
  } else if (!globals.quiet) {
    fmt::print("{:<9} {}\n", done, what);
    if (!kept.empty()) fmt::print("kept      {}\n", kept);
  }
}

ExitCode back_up(const BackupArguments& arguments, const GlobalOptions& globals) {
  const auto timeout = config::parse_duration(arguments.timeout);
  if (!timeout) throw BadConfigError("TR202", "--timeout is no duration", "write it as 30s or 2m");
  const pipeline::StatePaths paths = pipeline::find_state(globals.state, arguments.name);
  Catalog catalog(paths.catalog(), Catalog::Access::kRead);
  const RecordedTarget found = find_target(catalog, arguments.sink);
  // The running pipeline lets go of the target until this connection ends; else nobody may start it meanwhile.
  auto client = pipeline::ControlClient::connect(paths);
  std::unique_ptr<pipeline::StateDirectory> held;
  if (client) {
    client->ask({{"do", "lend"}, {"sink", found.record.name}, {"timeout_ms", timeout->count()}});
  } else {
    held = std::make_unique<pipeline::StateDirectory>(paths.root);
  }
  report("backup", found.setup.back_up(found.target, arguments.file), "", globals);
  return ExitCode::kDone;
}

ExitCode restore(const BackupArguments& arguments, const GlobalOptions& globals) {
  const pipeline::StatePaths paths = pipeline::find_state(globals.state, arguments.name);
  const pipeline::StateDirectory held(paths.root);  // refuses while the pipeline runs
  Catalog catalog(paths.catalog(), Catalog::Access::kWrite);
  RecordedTarget found = find_target(catalog, arguments.sink);
  const Lsn begins = std::max(journal::Inspector(paths.journal()).start().position.commit_end,
                              Lsn::parse(catalog.text("log_begins")).value_or(Lsn()));
  const pipeline::Restored restored = found.setup.restore(found.target, arguments.file, begins);
  // The next start must not take the older cursor for damage.
  found.record.cursor = restored.cursor;
  catalog.record_sink(found.record);
  report("restored", restored.what, restored.kept, globals);
  return ExitCode::kDone;
}

}  // namespace

void add_backup_commands(Frame& frame) {
  auto saving = std::make_shared<BackupArguments>();
  CLI::App* backup =
      frame.command("backup", "Copy a target, also while its pipeline runs, to a file that was read whole",
                    "tailrace backup shop /backup/shop-monday.duckdb",
                    [saving](const GlobalOptions& globals) { return back_up(*saving, globals); });
  backup->add_option("name", saving->name, "Pipeline")->required()->type_name("NAME");
  backup->add_option("file", saving->file, "Where the copy goes")->required()->type_name("FILE");
  backup->add_option("--sink", saving->sink, "Which sink (default: the only one)")->type_name("SINK");
  backup->add_option("--timeout", saving->timeout, "How long to wait until the target is free (default 30s)")
      ->type_name("DURATION");
  auto restoring = std::make_shared<BackupArguments>();
  CLI::App* restored =
      frame.command("restore", "Put a backup in the place of a stopped pipeline's target",
                    "tailrace restore shop /backup/shop-monday.duckdb",
                    [restoring](const GlobalOptions& globals) { return restore(*restoring, globals); });
  restored->add_option("name", restoring->name, "Pipeline")->required()->type_name("NAME");
  restored->add_option("file", restoring->file, "The backup")->required()->type_name("FILE");
  restored->add_option("--sink", restoring->sink, "Which sink (default: the only one)")->type_name("SINK");
}

}  // namespace tailrace::cli
