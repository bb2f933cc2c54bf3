#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/state_directory.h"

namespace tailrace::cli {

/// The document of `status --json`: what the running process says, or else the last that it left, with what the catalog
/// says since. Throws as the catalog and the control socket do.
nlohmann::ordered_json status_document(const pipeline::StatePaths& paths);
/// The same of `metrics --json`.
nlohmann::ordered_json metrics_document(const pipeline::StatePaths& paths);

/// "Pipeline Stats - Consumed: 15230, Validated: 15100, Loaded: 15000, Errors: 2" of a document of metrics.
std::string stats_line(const nlohmann::ordered_json& metrics);

}  // namespace tailrace::cli
