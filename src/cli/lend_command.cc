#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "config/quantity.h"
#include "pipeline/control_client.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

struct LendArguments {
  std::string name;
  std::string sink;
  std::string timeout = "30s";
  std::vector<std::string> command;
};

/// Runs the command with this process' terminal and environment; gives its exit code, 128 + signal for a killed one.
int run_child(const std::vector<std::string>& command) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, words[0], nullptr, nullptr, words.data(), environ);
  if (error != 0) {
    throw BadConfigError("TR213", fmt::format("cannot run {}: {}", command[0], std::strerror(error)),
                         "check the command behind `--`");
  }
  // The terminal sends Ctrl-C to both; the command decides what it means.
  const auto before = std::signal(SIGINT, SIG_IGN);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  std::signal(SIGINT, before);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

ExitCode lend(const LendArguments& arguments, const GlobalOptions& globals) {
  const auto timeout = config::parse_duration(arguments.timeout);
  if (!timeout) throw BadConfigError("TR202", "--timeout is no duration", "write it as 30s or 2m");
  auto client = pipeline::ControlClient::connect(pipeline::find_state(globals.state, arguments.name));
  if (client) {
    const nlohmann::json lent =
        client->ask({{"do", "lend"}, {"sink", arguments.sink}, {"timeout_ms", timeout->count()}});
    if (!globals.quiet) {
      fmt::print(stderr, "lent      {}; the log keeps receiving\n", lent.value("target", ""));
    }
  }
  return static_cast<ExitCode>(run_child(arguments.command));
}

}  // namespace

void add_lend_command(Frame& frame) {
  auto arguments = std::make_shared<LendArguments>();
  CLI::App* command = frame.command("lend", "Let go of the target for one command, then take it back",
                                    "tailrace lend shop -- duckdb shop.duckdb",
                                    [arguments](const GlobalOptions& globals) { return lend(*arguments, globals); });
  command->add_option("name", arguments->name, "Pipeline")->required()->type_name("NAME");
  command->add_option("command", arguments->command, "The command, behind `--`")->required()->type_name("COMMAND");
  command->add_option("--sink", arguments->sink, "Which sink (default: the only one)")->type_name("SINK");
  command->add_option("--timeout", arguments->timeout, "How long to wait until it is free (default 30s)")
      ->type_name("DURATION");
}

}  // namespace tailrace::cli
