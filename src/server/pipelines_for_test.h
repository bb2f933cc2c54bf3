#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "server/watched_pipelines.h"

namespace tailrace::server::test {

/// A pipeline that is as the test says.
class StatedPipeline final : public Watched {
 public:
  explicit StatedPipeline(std::string name) : name_(std::move(name)) {
    status_.name = name_;
    status_.state = "streaming";
  }

  const std::string& name() const override { return name_; }
  Life life() const override { return life_; }
  std::chrono::milliseconds silence() const override { return silence_; }
  pipeline::PipelineStatus status() const override { return status_; }
  pipeline::PipelineMetrics metrics() const override { return {.status = status_, .sinks = counts_}; }

  Life life_ = Life::kRuns;
  std::chrono::milliseconds silence_{100};
  pipeline::PipelineStatus status_;
  /// One for each of its sinks.
  std::vector<pipeline::SinkCounts> counts_;

 private:
  const std::string name_;
};

}  // namespace tailrace::server::test
