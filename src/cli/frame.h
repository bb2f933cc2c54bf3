#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/log.h"

namespace tailrace::cli {

/// The flags that every command takes; each has a TAILRACE_* environment variable of the same name.
struct GlobalOptions {
  bool json = false;
  bool quiet = false;
  bool no_color = false;
  /// Never ask; what would need an answer is an error.
  bool no_input = false;
  /// Every question is answered with yes.
  bool yes = false;
  log::Level log_level = log::Level::kWarn;
  log::Format log_format = log::Format::kText;
  /// State directory; empty = found by the pipeline's name.
  std::string state;
};

/// What SIGINT, SIGTERM and SIGHUP do to a command: they end it as they end any process, or it takes them itself (with
/// StopSignals), also those that came before it began.
enum class OnSignal { kEnd, kTaken };

/// The command line: global flags, the commands hung into it, and how errors leave the process.
/// Owned by main(), one thread. Commands are added first, then run() parses and calls exactly one body.
class Frame {
 public:
  /// What a command does once its options are parsed; exceptions of base/error.h become message and exit code.
  using Body = std::function<ExitCode(const GlobalOptions&)>;

  Frame();

  /// Adds a command. `example` ends its --help. Options are added to the result; what they are stored in has to live
  /// as long as the frame (capture it in `body`).
  CLI::App* command(const std::string& name, const std::string& description, const std::string& example, Body body,
                    OnSignal on_signal = OnSignal::kEnd);
  /// Adds a command below `parent`, as in `journal ls`.
  CLI::App* command_below(CLI::App* parent, const std::string& name, const std::string& description,
                          const std::string& example, Body body, OnSignal on_signal = OnSignal::kEnd);
  /// Adds a command that only groups others.
  CLI::App* group(const std::string& name, const std::string& description);

  /// Parses, runs, and gives the process' exit code.
  int run(int argc, char** argv);
  /// The whole tree of commands, for completion and docs.
  const CLI::App& app() const { return app_; }

 private:
  void add_global_options();
  int run_body();

  CLI::App app_;
  GlobalOptions globals_;
  Body chosen_;
  OnSignal on_signal_ = OnSignal::kEnd;
};

}  // namespace tailrace::cli
