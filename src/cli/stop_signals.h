#pragma once

#include <atomic>
#include <functional>
#include <stop_token>
#include <thread>

namespace tailrace::cli {

/// What SIGHUP asks for: the end, as when the terminal goes, or that the configuration is read again.
enum class Hangup { kStop, kReload };

/// Lets SIGINT, SIGTERM and SIGHUP wait, from the first moment of the process on: what comes before StopSignals is made
/// counts too. For main(), before any thread is made.
void hold_stop_signals();
/// They end the process again, as is usual, also those that came meanwhile. For commands without StopSignals.
void release_stop_signals();

/// Turns SIGINT and SIGTERM into a stop request; a second one ends the process at once, with nothing lost. Made by the
/// main thread before any other thread of ours, so that all of them leave the signals to this one; SIGPIPE is ignored.
/// A SIGHUP that nohup made ignored stops nothing.
/// Lives as long as the command.
class StopSignals {
 public:
  explicit StopSignals(Hangup hangup = Hangup::kStop);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  std::stop_token token() const { return source_.get_token(); }
  void request_stop() { source_.request_stop(); }
  /// Whether the configuration is to be read again; asks once for each time.
  bool take_reload() { return reload_.exchange(false); }

 private:
  void watch(std::stop_token stop);

  const Hangup hangup_;
  const bool deaf_to_hangup_;
  std::atomic<bool> reload_{false};
  std::stop_source source_;
  std::jthread watcher_;
};

}  // namespace tailrace::cli
