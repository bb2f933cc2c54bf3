#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "base/time.h"
#include "pipeline/sink_meter.h"
#include "pipeline/status.h"

namespace tailrace::pipeline {

/// All counters of a pipeline at one moment. A value.
struct PipelineMetrics {
  PipelineStatus status;
  /// Since when what is counted by this process is counted, and when this was looked at.
  PgTime since;
  PgTime taken_at;
  /// One for each of status.sinks.
  std::vector<SinkCounts> sinks;
};

/// The document of `metrics --json` (docs/metrics.md).
nlohmann::ordered_json to_json(const PipelineMetrics& metrics);

}  // namespace tailrace::pipeline
