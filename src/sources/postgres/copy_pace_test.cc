#include "sources/postgres/copy_pace.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tailrace::postgres {
namespace {

double seconds_since(SteadyClock::time_point began) {
  return std::chrono::duration<double>(SteadyClock::now() - began).count();
}

TEST(CopyPaceTest, all_readers_together_stay_below_the_limit) {
  CopyPace pace(10'000);
  sources::CopyProgress progress;
  const auto began = SteadyClock::now();
  std::vector<std::jthread> readers;
  for (int reader = 0; reader < 3; ++reader)
    readers.emplace_back([&](const std::stop_token& stop) {
      for (int block = 0; block < 5; ++block) pace.spend(200, progress, stop);
    });
  for (std::jthread& reader : readers) reader.join();
  EXPECT_GE(seconds_since(began), 0.295);
}

TEST(CopyPaceTest, a_stop_request_ends_the_wait) {
  CopyPace pace(1);
  sources::CopyProgress progress;
  std::stop_source stop;
  std::jthread stopper([&stop] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop.request_stop();
  });
  const auto began = SteadyClock::now();
  pace.spend(1000, progress, stop.get_token());
  EXPECT_LT(seconds_since(began), 30);
}

TEST(CopyPaceTest, without_a_limit_nobody_waits) {
  CopyPace pace(0);
  sources::CopyProgress progress;
  const auto began = SteadyClock::now();
  pace.spend(1'000'000'000, progress, {});
  EXPECT_LT(seconds_since(began), 5);
}

}  // namespace
}  // namespace tailrace::postgres
