#include "cli/metrics_command.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/pipeline_documents.h"
#include "cli/terminal.h"

namespace tailrace::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string count_of(const Json& counters, const char* name) {
  return human_count(counters.at(name).get<std::uint64_t>());
}

std::string percent(const Json& share) {
  return share.is_number() ? fmt::format("{:.2f} %", share.get<double>() * 100) : "-";
}

double number(const Json& value) { return value.is_number() ? value.get<double>() : 0; }

void print_counters(const Json& counters) {
  fmt::print("  consumed {}  processed {}  validated {}  rejected {}\n", count_of(counters, "consumed"),
             count_of(counters, "processed"), count_of(counters, "validated"), count_of(counters, "rejected"));
  fmt::print("  applied {}  filtered {}  dead-lettered {}  held {}\n", count_of(counters, "applied"),
             count_of(counters, "filtered"), count_of(counters, "dead_lettered"), count_of(counters, "held"));
  fmt::print("  success {}  error {}  now {}/s\n", percent(counters["success_rate"]), percent(counters["error_rate"]),
             human_count(static_cast<std::uint64_t>(number(counters["throughput"]))));
  fmt::print("  batches {}  of {:.1f} changes and {:.1f} ms each\n", count_of(counters, "batches"),
             number(counters["average_batch_size"]), number(counters["average_batch_seconds"]) * 1000);
  std::string operations;
  for (const char* kind : {"insert", "update", "delete", "truncate", "message"})
    operations += fmt::format("  {} {}", kind, count_of(counters["operations"], kind));
  std::string errors;
  for (const auto& [category, failed] : counters["errors"].items()) {
    if (failed != 0) errors += fmt::format("  {} {}", category, failed.get<std::uint64_t>());
  }
  fmt::print("  operations{}\n  errors{}\n", operations, errors.empty() ? "  none" : errors);
}

void print_metrics(const Json& metrics) {
  fmt::print("{}  {}  counted since {}\n", painted(metrics["name"].get<std::string>(), Colour::kBold, 1),
             metrics["state"].get<std::string>(), metrics["since"].get<std::string>());
  for (const Json& sink : metrics["sinks"]) {
    fmt::print("{}  {}  {}\n", sink["name"].get<std::string>(), sink["kind"].get<std::string>(),
               sink["state"].get<std::string>());
    print_counters(sink);
    for (const Json& table : sink["tables"]) {
      // Messages, which belong to none.
      if (table["table"].get<std::string>().empty()) continue;
      fmt::print("    {:<32} insert {}  update {}  delete {}  truncate {}\n", table["table"].get<std::string>(),
                 count_of(table, "insert"), count_of(table, "update"), count_of(table, "delete"),
                 count_of(table, "truncate"));
      if (count_of(table, "dead_lettered") != "0" || count_of(table, "held") != "0")
        fmt::print("    {:<32} dead-lettered {}  held {}\n", "", count_of(table, "dead_lettered"),
                   count_of(table, "held"));
    }
  }
}

}  // namespace

void add_metrics_command(Frame& frame) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = frame.command("metrics", "All counters of a pipeline, running or not",
                                    "tailrace metrics shop --json", [name](const GlobalOptions& globals) {
                                      const Json metrics = metrics_document(pipeline::find_state(globals.state, *name));
                                      if (globals.json) {
                                        fmt::print("{}\n", metrics.dump());
                                      } else {
                                        print_metrics(metrics);
                                      }
                                      return ExitCode::kDone;
                                    });
  command->add_option("name", *name, "Pipeline (default: the only one here)")->type_name("NAME");
}

}  // namespace tailrace::cli
