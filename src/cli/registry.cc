#include "cli/registry.h"

#include <fmt/format.h>

#include "cli/registrations.h"

namespace tailrace::cli {

pipeline::Components components() { return {.sources = {postgres_kind()}, .sinks = {duckdb_kind()}}; }

pipeline::SinkSetup sink_for_target(const std::string& name, const std::string& target, bool history) {
  if (!target.ends_with(".duckdb")) {
    throw BadConfigError("TR212", fmt::format("`{}` is no target that this version knows", target),
                         "give a path that ends in .duckdb");
  }
  duckdb::DuckdbSpec spec;
  spec.path = target;
  if (history) spec.history = {"*.*"};
  return duckdb_sink(name, spec);
}

pipeline::SinkSetup recorded_sink(const std::string& kind, const std::string& name, const std::string& display) {
  if (kind != "duckdb") return {.name = name, .kind = kind, .display = display};
  duckdb::DuckdbSpec spec;
  spec.path = display;
  return duckdb_sink(name, spec);
}

std::vector<pipeline::PipelineSpec> load_pipelines(const std::filesystem::path& path) {
  return pipeline::read_pipelines(config::File::load(path), components(), config::process_environment());
}

}  // namespace tailrace::cli
