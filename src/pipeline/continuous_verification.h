#pragma once

#include <map>
#include <stop_token>
#include <string>
#include <thread>

#include "pipeline/pipeline.h"

namespace tailrace::pipeline {

/// Compares each target that can be compared with the source, round after round at a low rate; the pipeline's status
/// names the tables that differ. Lives beside a pipeline that outlives it; does nothing unless its `verify` asks for
/// it.
class ContinuousVerification {
 public:
  explicit ContinuousVerification(Pipeline& pipeline);

 private:
  /// What differs, by table.
  using Differences = std::map<std::string, Problem>;

  void run(std::stop_token stop);
  void compare(const std::string& sink, Differences& differences, std::stop_token stop);

  Pipeline& pipeline_;
  std::jthread thread_;
};

}  // namespace tailrace::pipeline
