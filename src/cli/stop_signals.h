#pragma once

#include <functional>
#include <stop_token>
#include <thread>

namespace tailrace::cli {

/// Turns SIGINT and SIGTERM into a stop request; a second one ends the process at once, with nothing lost. Made by the
/// main thread before any other thread of ours, so that all of them leave the signals to this one; SIGPIPE is ignored.
/// Lives as long as the command.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  std::stop_token token() const { return source_.get_token(); }
  void request_stop() { source_.request_stop(); }

 private:
  void watch(std::stop_token stop);

  std::stop_source source_;
  std::jthread watcher_;
};

}  // namespace tailrace::cli
