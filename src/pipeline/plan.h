#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "pipeline/catalog.h"
#include "pipeline/spec.h"

/// What a pipeline's file would do to the pipeline as it is (docs/plan.md).
namespace tailrace::pipeline {

/// Whether a sink's target is the one that these records know, so that it goes on from its cursor. What the target
/// itself says when it is opened is the truth.
bool goes_on(const std::vector<SinkRecord>& records, const SinkSetup& setup);
/// The sinks as the catalog is asked for them.
std::vector<SinkRecord> named_sinks(const PipelineSpec& spec);

/// kRefused: it would not start.
enum class PlannedKind : std::uint8_t {
  kNewPipeline,
  kSourceChanged,
  kSinkAdded,
  kSinkRenamed,
  kSinkRemoved,
  kTableCopied,
  kTableNotFollowed,
  kTableLeftOut,
  kRefused
};
const char* name_of(PlannedKind kind);

struct PlannedChange {
  PlannedKind kind = PlannedKind::kRefused;
  /// Empty where it concerns no single one.
  std::string sink;
  std::string table;
  std::string code;
  /// For a person.
  std::string text;
};

/// A value.
struct Plan {
  std::string name;
  /// A process runs the pipeline now.
  bool running = false;
  std::vector<PlannedChange> changes;

  bool refused() const;
};

/// Looks at the pipeline's state, its source and its targets; touches nothing. What cannot be started is in the plan;
/// throws CorruptionError for a damaged state.
Plan plan_pipeline(const PipelineSpec& spec);
nlohmann::ordered_json to_json(const Plan& plan);

}  // namespace tailrace::pipeline
