#include "pipeline/turns.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

namespace tailrace::pipeline {
namespace {

using std::chrono::milliseconds;

double seconds_since(SteadyClock::time_point from) {
  return std::chrono::duration<double>(SteadyClock::now() - from).count();
}

/// Two looks, between which the log's numbers rose by so much in a tenth of a second.
void let_grow(Turns& turns, std::uint64_t by) {
  static_cast<void>(turns.take(Seq(1000)));
  std::this_thread::sleep_for(milliseconds(110));
  static_cast<void>(turns.take(Seq(1000 + by)));
}

TEST(TurnsTest, WhileTheLogGrowsSlowlyNobodyWaits) {
  Turns turns(1);
  let_grow(turns, 500'000);
  const auto began = SteadyClock::now();
  const Turns::Turn one = turns.take(Seq(501'000));
  const Turns::Turn other = turns.take(Seq(501'000));
  EXPECT_LT(seconds_since(began), 0.09);
}

TEST(TurnsTest, WhileChangesPourInOneWorksAfterTheOther) {
  Turns turns(1);
  let_grow(turns, 10'000'000);
  std::optional<Turns::Turn> one(turns.take(Seq(1'000'000'000)));
  std::atomic<bool> came = false;
  std::thread other([&] {
    const Turns::Turn turn = turns.take(Seq(1'000'000'000));
    came = true;
  });
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_FALSE(came);
  one.reset();
  other.join();
  EXPECT_TRUE(came);
}

TEST(TurnsTest, WhoseTurnLastsLongHoldsUpNobody) {
  Turns turns(1);
  let_grow(turns, 10'000'000);
  const Turns::Turn slow = turns.take(Seq(1'000'000'000));
  const auto began = SteadyClock::now();
  const Turns::Turn other = turns.take(Seq(1'000'000'000));
  EXPECT_GT(seconds_since(began), 0.5);
  EXPECT_LT(seconds_since(began), 2.5);
}

TEST(TurnsTest, ThereAreAsManyAsSaid) {
  Turns turns(2);
  let_grow(turns, 10'000'000);
  const auto began = SteadyClock::now();
  const Turns::Turn one = turns.take(Seq(1'000'000'000));
  const Turns::Turn other = turns.take(Seq(1'000'000'000));
  EXPECT_LT(seconds_since(began), 0.09);
}

}  // namespace
}  // namespace tailrace::pipeline
