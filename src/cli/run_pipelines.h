#pragma once

#include <vector>

#include "cli/frame.h"
#include "pipeline/spec.h"

namespace tailrace::cli {

/// Runs pipelines in the foreground until a signal, the end of their sinks, or, with `until_caught_up`, until each has
/// what was committed at the start. Every pipeline is reachable through its control socket meanwhile. Throws what the
/// first of them to fail threw; the others run on.
ExitCode run_pipelines(std::vector<pipeline::PipelineSpec> specs, bool until_caught_up, const GlobalOptions& globals);

}  // namespace tailrace::cli
