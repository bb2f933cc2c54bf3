#pragma once

#include <string>
#include <vector>

#include "pipeline/spec.h"
#include "sources/finding.h"

namespace tailrace::pipeline {

/// What would stop a pipeline, or soon stop it.
struct PipelineCheck {
  std::string name;
  /// Of the source, the log and every sink, in this order.
  std::vector<sources::Finding> findings;
};

/// Looks at the source, the state directory with its disk, and every target. Makes nothing and changes nothing; what
/// cannot be reached is a finding, never a throw.
PipelineCheck check_pipeline(const PipelineSpec& spec);

}  // namespace tailrace::pipeline
