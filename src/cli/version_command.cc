#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"

namespace tailrace::cli {

void add_version_command(Frame& frame) {
  frame.command("version", "Version of this binary", "tailrace version --json", [](const GlobalOptions& globals) {
    if (globals.json) {
      fmt::print("{}\n", nlohmann::ordered_json{{"version", TAILRACE_VERSION}}.dump());
    } else {
      fmt::print("tailrace {}\n", TAILRACE_VERSION);
    }
    return ExitCode::kDone;
  });
}

}  // namespace tailrace::cli
