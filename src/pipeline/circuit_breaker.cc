#include "pipeline/circuit_breaker.h"

#include <algorithm>

#include "base/time.h"

namespace tailrace::pipeline {

using std::chrono::milliseconds;

CircuitBreaker::CircuitBreaker(const RetryRules& rules)
    : rules_(rules),
      next_(rules.first),
      jitter_(static_cast<std::minstd_rand::result_type>(SteadyClock::now().time_since_epoch().count())) {}

std::optional<milliseconds> CircuitBreaker::failed() {
  ++failures_;
  if (rules_.attempts > 0 && failures_ >= rules_.attempts) return std::nullopt;
  if (state_ == State::kHalfOpen || failures_ >= rules_.failures) {
    state_ = State::kOpen;
    return rules_.recovery;
  }
  const double chance = static_cast<double>(jitter_()) / static_cast<double>(std::minstd_rand::max());
  const milliseconds pause(static_cast<std::int64_t>(static_cast<double>(next_.count()) * (0.5 + 0.5 * chance)));
  next_ = std::min(next_ * 2, rules_.longest);
  return pause;
}

void CircuitBreaker::succeeded() {
  state_ = State::kClosed;
  failures_ = 0;
  next_ = rules_.first;
}

const char* name_of(CircuitBreaker::State state) {
  switch (state) {
    case CircuitBreaker::State::kClosed: return "closed";
    case CircuitBreaker::State::kOpen: return "open";
    case CircuitBreaker::State::kHalfOpen: return "half_open";
  }
  return "";
}

}  // namespace tailrace::pipeline
