#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/frame.h"
#include "pipeline/spec.h"

namespace tailrace::cli {

/// Puts the one pipeline's state where --state says. Throws BadConfigError TR209 when there are several.
void place_state(std::vector<pipeline::PipelineSpec>& specs, const GlobalOptions& globals);

/// Reads the configuration again. Throws what is wrong with it.
using Reload = std::function<std::vector<pipeline::PipelineSpec>()>;

/// How pipelines are run.
struct RunRequest {
  /// End once each has what was committed at the start.
  bool until_caught_up = false;
  /// Go on where a slot is lost when they start.
  bool accept_gap = false;
  /// Where the process answers over HTTP; empty: nowhere.
  std::string listen;
};

/// Adds the options of a RunRequest to a command. `request` lives as long as the command.
void add_run_options(CLI::App& command, RunRequest& request);

/// Runs pipelines in the foreground until a signal, the end of their sinks, or, with `until_caught_up`, until each has
/// what was committed at the start. Every pipeline is reachable through its control socket meanwhile. Throws what the
/// first of them to fail threw; the others run on. SIGHUP, away from a terminal: drains and stops them, and runs what
/// `reload` gives; they run on as they are when that throws. Without `reload` it ends them.
ExitCode run_pipelines(std::vector<pipeline::PipelineSpec> specs, const RunRequest& request,
                       const GlobalOptions& globals, const Reload& reload = {});

}  // namespace tailrace::cli
