#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "pipeline/catalog.h"
#include "pipeline/control_client.h"
#include "pipeline/state_directory.h"
#include "pipeline/status.h"

namespace tailrace::cli {
namespace {

using Json = nlohmann::ordered_json;
using pipeline::Catalog;

/// What is known without a running process: the last status it left, with what the catalog says since.
Json stopped_status(const pipeline::StatePaths& paths) {
  Catalog catalog(paths.catalog(), Catalog::Access::kRead);
  Json status = Json::parse(catalog.text("status"), nullptr, false);
  if (!status.is_object()) {
    pipeline::PipelineStatus unknown;
    unknown.name = catalog.text("name");
    status = pipeline::to_json(unknown);
  }
  status["state"] = "stopped";
  Json sinks = Json::array();
  for (const pipeline::SinkRecord& record : catalog.sinks()) {
    if (!record.attached) continue;
    pipeline::PipelineStatus one;
    one.sinks.push_back({.name = record.name, .kind = record.kind, .display = record.display, .state = "stopped"});
    one.sinks.back().counters = record.counters;
    one.sinks.back().dead_letters = record.dead_letters;
    if (record.cursor) one.sinks.back().durable_lsn = record.cursor->position.commit_end;
    sinks.push_back(pipeline::to_json(one)["sinks"][0]);
  }
  status["sinks"] = std::move(sinks);
  return status;
}

Json look(const pipeline::StatePaths& paths) {
  if (auto client = pipeline::ControlClient::connect(paths)) {
    return Json::parse(client->ask({{"do", "status"}}).at("status").dump());
  }
  return stopped_status(paths);
}

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

void print(const Json& status) {
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

}  // namespace

void add_status_command(Frame& frame) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = frame.command("status", "One look at a pipeline, running or not", "tailrace status shop --json",
                                    [name](const GlobalOptions& globals) {
                                      const Json status = look(pipeline::find_state(globals.state, *name));
                                      if (globals.json) {
                                        fmt::print("{}\n", status.dump());
                                      } else {
                                        print(status);
                                      }
                                      return ExitCode::kDone;
                                    });
  command->add_option("name", *name, "Pipeline (default: the only one here)")->type_name("NAME");
}

}  // namespace tailrace::cli
