#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "parity/verifier.h"
#include "pipeline/pipeline.h"

namespace tailrace::pipeline {

/// What a comparison of source and target found.
struct Verification {
  /// Where the last look at the source stood.
  Lsn fence;
  std::string sink;
  std::vector<parity::TableReport> tables;
};

/// Compares a sink's target with the source, beside both. `sink` empty: the only one that can be compared. `done` is
/// given each table's report as soon as it is there. Throws BadConfigError TR513 when there is no such sink, and what
/// parity::Verifier::run throws.
Verification verify(Pipeline& pipeline, const std::string& sink, const parity::VerifyOptions& options,
                    const std::function<void(const parity::TableReport&)>& done, std::stop_token stop);

/// One line of `verify --json`.
nlohmann::ordered_json to_json(const parity::TableReport& report);

}  // namespace tailrace::pipeline
