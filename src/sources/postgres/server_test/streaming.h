#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/error.h"
#include "sources/postgres/postgres_source.h"
#include "sources/postgres/recording_log.h"
#include "sources/postgres/server_test/facts_in_memory.h"

namespace tailrace::postgres {

/// A source with its log, streaming on a thread of its own between start() and stop().
class Streaming {
 public:
  explicit Streaming(SourceSpec spec) : spec_(std::move(spec)) { renew(); }
  ~Streaming() { stop(); }

  void prepare() { source->prepare({}); }
  /// The code with which prepare() refuses; empty if it does not.
  std::string refusal() {
    try {
      prepare();
    } catch (const RefusedError& error) {
      return error.code();
    }
    return {};
  }
  void start() {
    thread_ = std::jthread([this](std::stop_token token) {
      try {
        source->stream(token);
      } catch (const Error& error) {
        failure = error.code();
      }
    });
  }
  void stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }
  /// As after a restart of the process: the log and the facts remain.
  void renew() { source = std::make_unique<PostgresSource>(spec_, memory, log); }

  FactsInMemory memory;
  RecordingLog log;
  std::unique_ptr<PostgresSource> source;
  std::string failure;

 private:
  SourceSpec spec_;
  std::jthread thread_;
};

/// Asks for up to ten seconds.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace tailrace::postgres
