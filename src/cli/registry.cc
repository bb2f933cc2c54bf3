#include "cli/registry.h"

#include <fmt/format.h>

#include "base/error.h"
#include "cli/registrations.h"

namespace tailrace::cli {

pipeline::Components components() {
  return {.sources = {postgres_kind()},
          .sinks = {duckdb_kind(), clickhouse_kind(), redis_kind(), webhook_kind(), lake_kind(), snowflake_kind()},
          .conditions = sql_conditions()};
}

pipeline::SourceSetup source_for_url(const SourceRequest& request) { return postgres_source(request); }

pipeline::SinkSetup sink_for_target(const std::string& name, const std::string& target, bool history) {
  const bool is_redis = target.starts_with("redis://") || target.starts_with("rediss://");
  const bool is_clickhouse = target.starts_with("clickhouse://") || target.starts_with("clickhouses://");
  const bool is_webhook = target.starts_with("http://") || target.starts_with("https://");
  const bool is_lake = target.starts_with("file://") || target.starts_with("s3://");
  if ((is_redis || is_clickhouse || is_webhook || is_lake) && history)
    throw BadConfigError("TR212", "only a DuckDB target keeps history",
                         "leave --history out, or mirror to a .duckdb file");
  if (is_redis) return redis_server(name, target);
  if (is_clickhouse) return clickhouse_server(name, target);
  if (is_webhook) return webhook_receiver(name, target);
  if (is_lake) return lake_place(name, target);
  if (!target.ends_with(".duckdb")) {
    throw BadConfigError(
        "TR212", fmt::format("`{}` is no target that this version knows", target),
        "give a path that ends in .duckdb, or a clickhouse://, redis://, https://, file:// or s3:// URL");
  }
  return duckdb_file(name, target, history);
}

pipeline::SinkSetup recorded_sink(const std::string& kind, const std::string& name, const std::string& display) {
  if (kind == "duckdb") return duckdb_file(name, display, false);
  return {.name = name, .kind = kind, .display = display};
}

std::vector<pipeline::PipelineSpec> load_pipelines(const std::filesystem::path& path) {
  return pipeline::read_pipelines(config::File::load(path), components(), config::process_environment());
}

}  // namespace tailrace::cli
