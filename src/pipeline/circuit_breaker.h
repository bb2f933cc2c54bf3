#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>

namespace tailrace::pipeline {

/// How a sink goes on after errors that may pass. A value.
struct RetryRules {
  /// Failures in a row after which the sink is given up; 0: never.
  std::uint32_t attempts = 0;
  /// The pause after the first failure; each one after it doubles, up to the longest.
  std::chrono::milliseconds first{200};
  std::chrono::milliseconds longest{30'000};
  /// Failures in a row after which the target is left alone.
  std::uint32_t failures = 8;
  /// For so long; then one attempt shows how it is.
  std::chrono::milliseconds recovery{30'000};
};

/// Counts a sink's failures and says when to try again. While it is closed attempts follow each other with growing
/// pauses; open, the target is left alone for the recovery time; then half open for one attempt, which closes it or
/// opens it again. Owned by the sink's runner, used by its thread.
class CircuitBreaker {
 public:
  enum class State : std::uint8_t { kClosed, kOpen, kHalfOpen };

  explicit CircuitBreaker(const RetryRules& rules);

  /// How long to wait before the next attempt, with some chance in it so that many sinks do not come at once. Nothing:
  /// the attempts are used up.
  std::optional<std::chrono::milliseconds> failed();
  /// The pause is over.
  void attempt() {
    if (state_ == State::kOpen) state_ = State::kHalfOpen;
  }
  /// The target took what it was given.
  void succeeded();

  State state() const { return state_; }
  /// In a row.
  std::uint32_t failures() const { return failures_; }

 private:
  const RetryRules rules_;
  State state_ = State::kClosed;
  std::uint32_t failures_ = 0;
  std::chrono::milliseconds next_;
  std::minstd_rand jitter_;
};

/// "closed", "open" or "half_open".
const char* name_of(CircuitBreaker::State state);

}  // namespace tailrace::pipeline
