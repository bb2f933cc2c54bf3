#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "pipeline/control_client.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kKeysShown = 20;

struct VerifyArguments {
  std::string name;
  std::string sink;
  std::vector<std::string> tables;
  std::uint64_t rate = 0;
  bool repair = false;
};

/// What all tables together came to.
struct Sum {
  std::uint64_t rows = 0;
  std::uint64_t differing = 0;
  std::uint64_t undecided = 0;
  std::uint64_t skipped = 0;
};

void print_keys(const Json& keys) {
  for (std::size_t n = 0; n < std::min(keys.size(), kKeysShown); ++n) {
    std::string key;
    for (const auto& [column, value] : keys[n]["key"].items())
      key += fmt::format("{}{} {}", key.empty() ? "" : ", ", column, value.get<std::string>());
    std::cout << fmt::format("    {:<8} {}\n", keys[n]["what"].get<std::string>(), key);
  }
  if (keys.size() > kKeysShown)
    std::cout << fmt::format("    … and {} more (--json names them)\n", keys.size() - kKeysShown);
}

void print_table(const Json& table) {
  const std::string state = table["state"];
  const auto differing = table["differing"].get<std::uint64_t>();
  std::string told = fmt::format("{} rows are equal", human_count(table["rows"].get<std::uint64_t>()));
  if (state == "differs")
    told = fmt::format("{} of {} rows differ: {} missing, {} extra, {} stale", human_count(differing),
                       human_count(table["rows"].get<std::uint64_t>()), table["missing"].get<std::uint64_t>(),
                       table["extra"].get<std::uint64_t>(), table["stale"].get<std::uint64_t>());
  if (state == "undecided" || state == "skipped")
    told = fmt::format("{}: {}", state, table["reason"].get<std::string>());
  if (const auto repaired = table["repaired"].get<std::uint64_t>(); repaired > 0)
    told += fmt::format(" ({} repaired)", human_count(repaired));
  const std::string mark = state == "equal"     ? painted("✓", Colour::kGreen, 1)
                           : state == "differs" ? painted("✗", Colour::kRed, 1)
                                                : painted("!", Colour::kYellow, 1);
  std::cout << fmt::format("{} {:<32} {}\n", mark, table["table"].get<std::string>(), told);
  print_keys(table["keys"]);
  std::cout << std::flush;
}

void add(const Json& table, Sum& sum) {
  sum.rows += table["rows"].get<std::uint64_t>();
  sum.differing += table["differing"].get<std::uint64_t>();
  sum.undecided += table["state"] == "undecided" ? 1 : 0;
  sum.skipped += table["state"] == "skipped" ? 1 : 0;
}

void conclude(const Sum& sum) {
  if (sum.differing > 0)
    throw AnswerIsNo("TR700", fmt::format("{} rows differ between source and target", human_count(sum.differing)),
                     "tailrace verify --repair mends only those");
  if (sum.undecided > 0)
    throw TimeoutError("TR701", fmt::format("{} tables could not be judged in time", sum.undecided),
                       "try again when what was named above has passed");
  if (sum.skipped > 0)
    throw AnswerIsNo("TR704", fmt::format("{} tables cannot be compared", sum.skipped),
                     "mend what was named above, or leave them out with --table '!SCHEMA.TABLE'");
}

ExitCode verify(const VerifyArguments& arguments, const GlobalOptions& globals) {
  auto client = pipeline::ControlClient::connect(pipeline::find_state(globals.state, arguments.name));
  if (!client)
    throw RetryError("TR514", "this pipeline is not running", "start it with `tailrace run` or `tailrace mirror`");
  Sum sum;
  Json tables = Json::array();
  const Json done = client->ask({{"do", "verify"},
                                 {"sink", arguments.sink},
                                 {"tables", arguments.tables},
                                 {"rows_per_second", arguments.rate},
                                 {"repair", arguments.repair}},
                                [&](std::string_view piece) {
                                  Json table = Json::parse(piece);
                                  add(table, sum);
                                  if (!globals.json && !globals.quiet) print_table(table);
                                  tables.push_back(std::move(table));
                                });
  const bool equal = sum.differing + sum.undecided + sum.skipped == 0;
  if (globals.json) {
    std::cout
        << Json{{"equal", equal}, {"fence", done.at("fence")}, {"rows", sum.rows}, {"tables", std::move(tables)}}.dump()
        << "\n";
  } else if (equal && !globals.quiet) {
    std::cout << fmt::format("{} rows in {} tables are equal at source and target, fence {}\n", human_count(sum.rows),
                             tables.size(), done.at("fence").get<std::string>());
  }
  conclude(sum);
  return ExitCode::kDone;
}

}  // namespace

void add_verify_command(Frame& frame) {
  auto arguments = std::make_shared<VerifyArguments>();
  CLI::App* command = frame.command("verify", "Prove that source and target hold the same rows",
                                    "tailrace verify shop --table 'public.*'",
                                    [arguments](const GlobalOptions& globals) { return verify(*arguments, globals); });
  command->add_option("name", arguments->name, "Pipeline (default: the only one here)")->type_name("NAME");
  command->add_option("--table", arguments->tables, "Only tables of this pattern, schema.table")->type_name("S.T");
  command->add_option("--sink", arguments->sink, "Which sink (default: the only one that can be compared)")
      ->type_name("SINK");
  command->add_flag("--repair", arguments->repair, "Mend the rows that differ, and no others");
  command->add_option("--rate", arguments->rate, "At most so many rows a second (default: no limit)")
      ->type_name("ROWS");
}

}  // namespace tailrace::cli
