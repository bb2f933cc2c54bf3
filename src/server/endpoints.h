#pragma once

#include <string>

#include "server/watched_pipelines.h"

/// What the paths of the HTTP server answer (docs/watching.md). They only read. Any thread.
namespace tailrace::server {

struct Answer {
  int status = 200;
  std::string type = "application/json";
  std::string body = {};
};

/// The form of every refusal, which is Kafka Connect's: {"error_code":…,"message":…}.
Answer refusal(int status, const std::string& message);

/// /livez: whether the process' own loops come round; what source and targets do does not matter.
Answer live(const WatchedPipelines& pipelines);
/// /readyz: whether every pipeline runs and its log takes changes.
Answer ready(const WatchedPipelines& pipelines);
/// /health, in Kafka Connect's form.
Answer health(const WatchedPipelines& pipelines);
/// /metrics, in Prometheus' text form.
Answer metrics(const WatchedPipelines& pipelines);
/// /api/v1/status?pipeline=NAME: the document of `status --json`. The name may be left out where there is one pipeline.
Answer status(const WatchedPipelines& pipelines, const std::string& name);
/// /api/v1/metrics?pipeline=NAME: in the same way, the document of `metrics --json`.
Answer counters(const WatchedPipelines& pipelines, const std::string& name);

}  // namespace tailrace::server
