#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/metrics.h"

namespace tailrace::server {

/// How often the configuration was read again, and how often it was not taken.
struct ReloadCounts {
  std::uint64_t reloads = 0;
  std::uint64_t refused = 0;
};

/// The process and its pipelines in Prometheus' text form (exposition format 0.0.4). The names are listed in
/// docs/watching.md.
std::string prometheus_text(const std::vector<pipeline::PipelineMetrics>& pipelines, const ReloadCounts& reloads);

}  // namespace tailrace::server
