#include "server/endpoints.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "server/prometheus_text.h"

namespace tailrace::server {
namespace {

using Json = nlohmann::ordered_json;
using Phase = WatchedPipelines::Phase;

/// A loop that comes round several times a second and was not seen for so long hangs.
constexpr std::chrono::seconds kHangs{30};

constexpr const char* kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";

std::string dumped(const Json& document) { return document.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string hanging_pipeline(const WatchedPipelines& pipelines) {
  std::string found;
  pipelines.for_each("", [&found](const Watched& one) {
    if (one.life() == Watched::Life::kRuns && one.silence() >= kHangs) found = one.name();
  });
  return found;
}

/// Why a pipeline takes nothing; empty: it does.
std::string idleness_of(const Watched& one) {
  switch (one.life()) {
    case Watched::Life::kEnding: return "is being stopped";
    case Watched::Life::kEnded: return "has ended";
    case Watched::Life::kRuns: break;
  }
  if (one.status().source.state == sources::SourceState::kLogFull) return "has a log that takes nothing for now";
  return {};
}

}  // namespace

Answer refusal(int status, const std::string& message) {
  return {.status = status, .body = dumped({{"error_code", status}, {"message", message}})};
}

Answer live(const WatchedPipelines& pipelines) {
  if (const std::string hangs = hanging_pipeline(pipelines); !hangs.empty()) {
    return {.status = 503, .body = dumped({{"live", false}, {"why", fmt::format("{} does not move", hangs)}})};
  }
  return {.body = dumped({{"live", true}})};
}

Answer ready(const WatchedPipelines& pipelines) {
  const auto no = [](const std::string& why) -> Answer {
    return {.status = 503, .body = dumped({{"ready", false}, {"why", why}})};
  };
  if (pipelines.phase() == Phase::kStarting) return no("starting");
  if (pipelines.phase() == Phase::kEnding) return no("draining");
  std::string why;
  pipelines.for_each("", [&why](const Watched& one) {
    if (const std::string idle = idleness_of(one); why.empty() && !idle.empty())
      why = fmt::format("{} {}", one.name(), idle);
  });
  if (!why.empty()) return no(why);
  return {.body = dumped({{"ready", true}})};
}

Answer health(const WatchedPipelines& pipelines) {
  if (const std::string hangs = hanging_pipeline(pipelines); !hangs.empty()) {
    return {
        .status = 500,
        .body = dumped({{"status", "unhealthy"}, {"message", fmt::format("The pipeline {} does not move.", hangs)}})};
  }
  if (pipelines.phase() == Phase::kStarting)
    return {.status = 503, .body = dumped({{"status", "starting"}, {"message", "Worker is still starting up."}})};
  return {.body = dumped(
              {{"status", "healthy"}, {"message", "Worker has completed startup and is ready to handle requests."}})};
}

Answer metrics(const WatchedPipelines& pipelines) {
  std::vector<pipeline::PipelineMetrics> all;
  pipelines.for_each("", [&all](const Watched& one) { all.push_back(one.metrics()); });
  return {.type = kPrometheusType,
          .body = prometheus_text(all, {.reloads = pipelines.reloads(), .refused = pipelines.refused_reloads()})};
}

namespace {

/// What `look` says of the pipeline that is meant.
Answer document_of(const WatchedPipelines& pipelines, const std::string& name,
                   const std::function<Json(const Watched&)>& look) {
  std::vector<std::string> names;
  std::optional<Json> found;
  pipelines.for_each(name, [&](const Watched& one) {
    if (names.empty()) found = look(one);
    names.push_back(one.name());
  });
  if (names.size() > 1) return refusal(400, fmt::format("which one? ?pipeline= is one of {}", fmt::join(names, ", ")));
  if (!found)
    return refusal(name.empty() ? 503 : 404, name.empty() ? "no pipeline runs yet" : "no pipeline of that name runs");
  return {.body = dumped(*found)};
}

}  // namespace

Answer status(const WatchedPipelines& pipelines, const std::string& name) {
  return document_of(pipelines, name, [](const Watched& one) { return pipeline::to_json(one.status()); });
}

Answer counters(const WatchedPipelines& pipelines, const std::string& name) {
  return document_of(pipelines, name, [](const Watched& one) { return pipeline::to_json(one.metrics()); });
}

}  // namespace tailrace::server
