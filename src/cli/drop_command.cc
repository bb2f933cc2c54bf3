#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/registry.h"
#include "cli/terminal.h"
#include "pipeline/catalog.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

struct DropOptions {
  std::string name;
  std::string source;
  bool slot = false;
  bool publication = false;
  bool targets = false;
};

/// What a pipeline left behind, as its catalog remembers it.
struct Remains {
  std::string name;
  SourceRequest source;
  std::vector<pipeline::SinkSetup> sinks;
  std::uint64_t dead_letters = 0;
};

Remains read_remains(const pipeline::StatePaths& paths, const DropOptions& options) {
  pipeline::Catalog catalog(paths.catalog(), pipeline::Catalog::Access::kRead);
  Remains remains;
  remains.name = catalog.text("name");
  remains.source.url = options.source.empty() ? catalog.text("source") : options.source;
  remains.source.slot = catalog.text("slot");
  remains.source.publication = catalog.text("publication");
  for (const pipeline::SinkRecord& record : catalog.sinks()) {
    remains.dead_letters += record.dead_letters;
    // A target that was taken out of the pipeline is not the pipeline's to remove.
    if (record.attached) remains.sinks.push_back(recorded_sink(record.kind, record.name, record.display));
  }
  return remains;
}

std::vector<std::string> what_goes(const Remains& remains, const DropOptions& options,
                                   const pipeline::StatePaths& paths) {
  std::vector<std::string> lines = {"state directory " + paths.root.string()};
  if (remains.dead_letters > 0) lines.back() += fmt::format(" with {} dead letters", remains.dead_letters);
  if (options.slot) lines.push_back("slot " + remains.source.slot);
  if (options.publication) lines.push_back("publication " + remains.source.publication);
  for (const pipeline::SinkSetup& sink : remains.sinks)
    if (options.targets) lines.push_back(fmt::format("target {} {}", sink.kind, sink.display));
  return lines;
}

void ask_first(const std::vector<std::string>& lines, const GlobalOptions& globals) {
  if (globals.yes) return;
  if (globals.no_input || !is_terminal(0))
    throw BadConfigError("TR215", "drop asks first, and there is nobody to answer", "add --yes");
  std::cerr << "This will be removed:\n";
  for (const std::string& line : lines) std::cerr << "  " << line << "\n";
  std::cerr << "Go on? [y/N] ";
  std::string answer;
  if (!std::getline(std::cin, answer) || (answer != "y" && answer != "yes"))
    throw AnswerIsNo("TR216", "nothing was removed", "answer y, or add --yes");
}

/// Before anything is removed.
void refuse_unremovable(const Remains& remains) {
  for (const pipeline::SinkSetup& sink : remains.sinks)
    if (!sink.remove)
      throw BadConfigError("TR823",
                           fmt::format("the target {} {} is not removed by this command", sink.kind, sink.display),
                           "remove what is in it with its own means, and drop the pipeline without --targets");
}

ExitCode drop(const DropOptions& options, const GlobalOptions& globals) {
  const pipeline::StatePaths paths = pipeline::find_state(globals.state, options.name);
  const pipeline::StateDirectory held(paths.root);  // refuses while the pipeline runs
  const Remains remains = read_remains(paths, options);
  if (options.targets) refuse_unremovable(remains);
  const std::vector<std::string> lines = what_goes(remains, options, paths);
  ask_first(lines, globals);
  if (options.slot || options.publication) {
    pipeline::Catalog catalog(paths.catalog(), pipeline::Catalog::Access::kRead);
    source_for_url(remains.source).drop(catalog, options.slot, options.publication);
  }
  if (options.targets)
    for (const pipeline::SinkSetup& sink : remains.sinks) sink.remove();
  std::filesystem::remove_all(paths.root);
  if (globals.quiet) return ExitCode::kDone;
  for (const std::string& line : lines) std::cout << "removed   " << line << "\n";
  if (!options.slot && !remains.source.slot.empty())
    std::cout << fmt::format("note: slot {} still holds WAL at the source: SELECT pg_drop_replication_slot('{}');\n",
                             remains.source.slot, remains.source.slot);
  return ExitCode::kDone;
}

}  // namespace

void add_drop_command(Frame& frame) {
  auto options = std::make_shared<DropOptions>();
  CLI::App* command = frame.command("drop", "Remove a stopped pipeline, and on request what it made elsewhere",
                                    "tailrace drop shop --slot --publication",
                                    [options](const GlobalOptions& globals) { return drop(*options, globals); });
  command->add_option("name", options->name, "The pipeline");
  command->add_option("--source", options->source, "The source's URI, when it needs a password")->type_name("URI");
  command->add_flag("--slot", options->slot, "Also its replication slot");
  command->add_flag("--publication", options->publication, "Also its publication, if it made it");
  command->add_flag("--targets", options->targets, "Also the targets with their data");
}

}  // namespace tailrace::cli
