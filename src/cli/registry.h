#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/pipeline_file.h"
#include "pipeline/spec.h"

/// Which sources and targets there are; what each is made of only its registration knows.
namespace tailrace::cli {

/// All kinds a pipeline file may name.
pipeline::Components components();

/// A source as a command names it, without a pipeline file.
struct SourceRequest {
  /// Holds secrets: never logged.
  std::string url;
  /// TablePatterns; empty: every table.
  std::vector<std::string> tables = {};
  std::string slot = "tailrace";
  std::string publication = "tailrace";
  bool accept_upgrade = false;
};
/// The source that a URL means: a PostgreSQL database, also as libpq's keywords. Connects to nothing.
pipeline::SourceSetup source_for_url(const SourceRequest& request);
/// The sink that TARGET means: a path ending in .duckdb. Throws BadConfigError TR212 for anything else.
pipeline::SinkSetup sink_for_target(const std::string& name, const std::string& target, bool history);
/// A sink as the catalog remembers it: good for asking, not for running.
pipeline::SinkSetup recorded_sink(const std::string& kind, const std::string& name, const std::string& display);

/// Reads a pipeline file with this process' environment.
std::vector<pipeline::PipelineSpec> load_pipelines(const std::filesystem::path& path);

}  // namespace tailrace::cli
