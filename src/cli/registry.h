#pragma once

#include <filesystem>
#include <string>

#include "pipeline/pipeline_file.h"
#include "pipeline/spec.h"
#include "sinks/duckdb/spec.h"
#include "sources/postgres/preflight.h"
#include "sources/postgres/spec.h"

/// The only place that knows which sources and targets there are.
namespace tailrace::cli {

/// All kinds a pipeline file may name.
pipeline::Components components();

/// For pipelines without a file.
pipeline::SourceSetup postgres_source(const postgres::SourceSpec& spec);
/// What a look at the source has found, with a first line on the server itself.
sources::SourceCheck source_check(const postgres::PreflightReport& report);
pipeline::SinkSetup duckdb_sink(const std::string& name, const duckdb::DuckdbSpec& spec);
/// The sink that TARGET means: a path ending in .duckdb. Throws BadConfigError TR212 for anything else.
pipeline::SinkSetup sink_for_target(const std::string& name, const std::string& target, bool history);
/// A sink as the catalog remembers it: good for asking, not for running.
pipeline::SinkSetup recorded_sink(const std::string& kind, const std::string& name, const std::string& display);

/// Reads a pipeline file with this process' environment.
std::vector<pipeline::PipelineSpec> load_pipelines(const std::filesystem::path& path);

}  // namespace tailrace::cli
