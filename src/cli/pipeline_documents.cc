#include "cli/pipeline_documents.h"

#include <fmt/format.h>

#include <optional>

#include "pipeline/catalog.h"
#include "pipeline/control_client.h"
#include "pipeline/metrics.h"

namespace tailrace::cli {
namespace {

using Json = nlohmann::ordered_json;
using pipeline::Catalog;

/// What is known without a running process: the last status it left, with what the catalog says since.
Json stopped_status(const pipeline::StatePaths& paths) {
  Catalog catalog(paths.catalog(), Catalog::Access::kRead);
  Json status = Json::parse(catalog.text("status"), nullptr, false);
  if (!status.is_object()) {
    pipeline::PipelineStatus unknown;
    unknown.name = catalog.text("name");
    status = pipeline::to_json(unknown);
  }
  status["state"] = "stopped";
  Json sinks = Json::array();
  for (const pipeline::SinkRecord& record : catalog.sinks()) {
    if (!record.attached) continue;
    pipeline::PipelineStatus one;
    one.sinks.push_back({.name = record.name, .kind = record.kind, .display = record.display, .state = "stopped"});
    one.sinks.back().counters = record.counters;
    one.sinks.back().dead_letters = record.dead_letters;
    if (record.cursor) one.sinks.back().durable_lsn = record.cursor->position.commit_end;
    sinks.push_back(pipeline::to_json(one)["sinks"][0]);
  }
  status["sinks"] = std::move(sinks);
  return status;
}

/// The last that the process noted, a few seconds before its end at most.
Json stopped_metrics(const pipeline::StatePaths& paths) {
  Catalog catalog(paths.catalog(), Catalog::Access::kRead);
  Json metrics = Json::parse(catalog.text("metrics"), nullptr, false);
  if (!metrics.is_object()) {
    pipeline::PipelineMetrics unknown;
    unknown.status.name = catalog.text("name");
    metrics = pipeline::to_json(unknown);
  }
  metrics["state"] = "stopped";
  metrics["totals"]["throughput"] = 0;
  for (Json& sink : metrics["sinks"]) {
    sink["state"] = "stopped";
    sink["throughput"] = 0;
  }
  return metrics;
}

/// What the running process answers; nothing when there is none.
std::optional<Json> asked(const pipeline::StatePaths& paths, const char* what) {
  auto client = pipeline::ControlClient::connect(paths);
  if (!client) return std::nullopt;
  return Json::parse(client->ask({{"do", what}}).at(what).dump());
}

}  // namespace

Json status_document(const pipeline::StatePaths& paths) {
  const std::optional<Json> now = asked(paths, "status");
  return now ? *now : stopped_status(paths);
}

Json metrics_document(const pipeline::StatePaths& paths) {
  const std::optional<Json> now = asked(paths, "metrics");
  return now ? *now : stopped_metrics(paths);
}

std::string stats_line(const Json& metrics) {
  const Json& totals = metrics.at("totals");
  const auto count = [&totals](const char* name) { return totals.at(name).get<std::uint64_t>(); };
  std::uint64_t errors = 0;
  for (const auto& [category, number] : totals.at("errors").items()) errors += number.get<std::uint64_t>();
  return fmt::format("Pipeline Stats - Consumed: {}, Validated: {}, Loaded: {}, Errors: {}", count("consumed"),
                     count("validated"), count("applied"), errors);
}

}  // namespace tailrace::cli
