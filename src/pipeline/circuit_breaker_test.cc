#include "pipeline/circuit_breaker.h"

#include <gtest/gtest.h>

namespace tailrace::pipeline {
namespace {

using std::chrono::milliseconds;
using State = CircuitBreaker::State;

RetryRules rules() {
  return {.attempts = 0,
          .first = milliseconds(100),
          .longest = milliseconds(400),
          .failures = 5,
          .recovery = milliseconds(9000)};
}

TEST(CircuitBreakerTest, PausesGrowUpToTheLongestAndVary) {
  CircuitBreaker breaker(rules());
  for (const int most : {100, 200, 400, 400}) {
    const auto pause = breaker.failed();
    ASSERT_TRUE(pause);
    EXPECT_GE(*pause, milliseconds(most / 2));
    EXPECT_LE(*pause, milliseconds(most));
    EXPECT_EQ(breaker.state(), State::kClosed);
  }
}

TEST(CircuitBreakerTest, AfterManyFailuresTheTargetIsLeftAloneAndThenTriedOnce) {
  CircuitBreaker breaker(rules());
  for (int n = 0; n < 4; ++n) breaker.failed();
  EXPECT_EQ(breaker.failed(), milliseconds(9000));
  EXPECT_EQ(breaker.state(), State::kOpen);
  breaker.attempt();
  EXPECT_EQ(breaker.state(), State::kHalfOpen);
  EXPECT_EQ(breaker.failed(), milliseconds(9000)) << "one attempt opens it again";
  breaker.attempt();
  breaker.succeeded();
  EXPECT_EQ(breaker.state(), State::kClosed);
  EXPECT_LE(*breaker.failed(), milliseconds(100)) << "and pauses begin anew";
}

TEST(CircuitBreakerTest, AttemptsMayBeUsedUp) {
  RetryRules limited = rules();
  limited.attempts = 3;
  CircuitBreaker breaker(limited);
  EXPECT_TRUE(breaker.failed());
  breaker.succeeded();
  EXPECT_TRUE(breaker.failed());
  EXPECT_TRUE(breaker.failed());
  EXPECT_FALSE(breaker.failed());
  EXPECT_EQ(breaker.failures(), 3U);
}

}  // namespace
}  // namespace tailrace::pipeline
