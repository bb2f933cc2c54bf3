#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "cli/commands.h"
#include "cli/pipeline_documents.h"
#include "cli/terminal.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::milliseconds kTerminalPause{500};
constexpr std::chrono::milliseconds kPlainPause{10'000};

std::string text_or_dash(const Json& value) { return value.is_string() ? value.get<std::string>() : "-"; }

void print_copies(const Json& snapshot, bool first) {
  if (first)
    fmt::print("snapshot {:.0f} %  {} of {} tables  {} rows\n", snapshot["percent"].get<double>(),
               snapshot["tables_done"].get<std::uint64_t>(), snapshot["tables_total"].get<std::uint64_t>(),
               human_count(snapshot["rows"].get<std::uint64_t>()));
  for (const Json& table : snapshot["tables"]) {
    const auto rows = table["rows"].get<std::uint64_t>();
    // Of a first copy, only what is under way.
    if (table["done"].get<bool>() || (first && rows == 0)) continue;
    fmt::print("copying  {} → {}  {:.0f} %  {} rows", table["table"].get<std::string>(),
               table["sink"].get<std::string>(), table["percent"].get<double>(), human_count(rows));
    if (table["seconds_left"].is_number())
      fmt::print("  {}/s  {} left", human_count(static_cast<std::uint64_t>(table["rows_per_second"].get<double>())),
                 human_seconds(table["seconds_left"].get<double>()));
    fmt::print("{}\n", table["waits_for_server"].get<bool>() ? "  waits for the server" : "");
  }
}

void print_status(const Json& status) {
  const Json& source = status["source"];
  fmt::print("{}  {}\n", painted(status["name"].get<std::string>(), Colour::kBold, 1),
             status["state"].get<std::string>());
  fmt::print("source   at {}  confirmed {}  slot {} retains {}  {}\n", text_or_dash(source["lsn"]),
             text_or_dash(source["confirmed_lsn"]), text_or_dash(source["slot"]),
             human_bytes(source["lag_bytes"].get<std::uint64_t>()), text_or_dash(source["wal_status"]));
  fmt::print("log      durable to {}  from {}  {}\n", text_or_dash(status["log"]["durable_lsn"]),
             text_or_dash(status["log"]["oldest_lsn"]), human_bytes(status["log"]["bytes"].get<std::uint64_t>()));
  print_copies(status["snapshot"], status["state"] == "snapshotting");
  fmt::print("{:<16} {:<10} {:<12} {:>10} {:>10} {:>14} {:>6}\n", "SINK", "KIND", "STATE", "LAG", "BEHIND", "APPLIED",
             "DEAD");
  for (const Json& sink : status["sinks"]) {
    fmt::print("{:<16} {:<10} {:<12} {:>10} {:>10} {:>14} {:>6}\n", sink["name"].get<std::string>(),
               sink["kind"].get<std::string>(), sink["state"].get<std::string>(),
               human_seconds(sink["lag_seconds"].get<double>()), human_bytes(sink["lag_bytes"].get<std::uint64_t>()),
               human_count(sink["rows_applied"].get<std::uint64_t>()), sink["dead_letters"].get<std::uint64_t>());
    if (sink["last_error"].is_string()) fmt::print("  {}\n", sink["last_error"].get<std::string>());
  }
  for (const Json& problem : status["problems"]) {
    fmt::print("{} {} {}\n    fix: {}\n", painted("!", Colour::kYellow, 1), problem["code"].get<std::string>(),
               problem["what"].get<std::string>(), problem["remedy"].get<std::string>());
  }
}

struct StatusArguments {
  std::string name;
  bool one_line = false;
  bool watch = false;
};

/// One line, again and again in its place on a terminal, until the pipeline is stopped.
void watch_line(const pipeline::StatePaths& paths) {
  const bool terminal = is_terminal(STDOUT_FILENO);
  while (true) {
    const Json metrics = metrics_document(paths);
    fmt::print("{}{}{}", terminal ? "\r\033[K" : "", stats_line(metrics), terminal ? "" : "\n");
    std::fflush(stdout);
    if (metrics["state"] == "stopped") break;
    std::this_thread::sleep_for(terminal ? kTerminalPause : kPlainPause);
  }
  if (terminal) fmt::print("\n");
}

ExitCode show(const StatusArguments& arguments, const GlobalOptions& globals) {
  const pipeline::StatePaths paths = pipeline::find_state(globals.state, arguments.name);
  if (arguments.watch) {
    watch_line(paths);
  } else if (arguments.one_line) {
    fmt::print("{}\n", stats_line(metrics_document(paths)));
  } else if (globals.json) {
    fmt::print("{}\n", status_document(paths).dump());
  } else {
    print_status(status_document(paths));
  }
  return ExitCode::kDone;
}

}  // namespace

void add_status_command(Frame& frame) {
  auto arguments = std::make_shared<StatusArguments>();
  CLI::App* command = frame.command("status", "One look at a pipeline, running or not", "tailrace status shop --json",
                                    [arguments](const GlobalOptions& globals) { return show(*arguments, globals); });
  command->add_option("name", arguments->name, "Pipeline (default: the only one here)")->type_name("NAME");
  CLI::Option* one_line =
      command->add_flag("--one-line", arguments->one_line, "How many changes came, and what of them, in one line");
  command->add_flag("--watch", arguments->watch, "Again and again, until the pipeline is stopped")->needs(one_line);
}

}  // namespace tailrace::cli
