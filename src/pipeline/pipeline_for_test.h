#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "pipeline/pipeline.h"
#include "pipeline/test_parts.h"

/// Pipelines over a server and a target in memory, for tests.
namespace tailrace::pipeline::test {

using Rows = std::vector<std::string>;

/// A server, a target and a state directory that outlive the pipelines run over them.
class PipelineTest : public ::testing::Test {
 protected:
  PipelineSpec spec() {
    PipelineSpec spec;
    spec.name = "shop";
    spec.state = directory_.path() / "shop";
    spec.source = memory_source(server_);
    spec.sinks.push_back(memory_sink("target", target_));
    spec.memory = 128ULL << 20;
    return spec;
  }
  static RunOptions quick() {
    RunOptions options;
    options.runner.progress_every = std::chrono::milliseconds(0);
    return options;
  }
  static RunOptions until_caught_up() {
    RunOptions options = quick();
    options.until_caught_up = true;
    return options;
  }
  void run_until_caught_up() {
    Pipeline(spec(), until_caught_up()).run({}, [] {});
  }

  TemporaryDirectory directory_;
  MemoryServer server_;
  MemoryTarget target_;
};

/// A pipeline on a thread of its own; stops with the object.
class Background {
 public:
  Background(PipelineSpec spec, const RunOptions& options) : pipeline_(std::move(spec), options) {
    thread_ = std::thread([this] {
      try {
        pipeline_.run(stop_.get_token(), [] {});
      } catch (const Error& error) {
        code_ = error.code();
      }
    });
  }
  ~Background() { finish(); }
  /// The code of the error it ended with; empty when it ended well.
  std::string finish() {
    stop_.request_stop();
    return join();
  }
  std::string join() {
    if (thread_.joinable()) thread_.join();
    return code_;
  }
  Pipeline& operator*() { return pipeline_; }
  Pipeline* operator->() { return &pipeline_; }

 private:
  Pipeline pipeline_;
  std::stop_source stop_;
  std::string code_;
  std::thread thread_;
};

}  // namespace tailrace::pipeline::test
