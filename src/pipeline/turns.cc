#include "pipeline/turns.h"

#include <algorithm>

namespace tailrace::pipeline {
namespace {

using std::chrono::milliseconds;

/// How fast the log's numbers rise while a backlog or a large transaction comes, not an application's steady work. They
/// rise with the WAL, byte by byte: some 80,000 small rows a second.
constexpr double kPours = 16 << 20;
constexpr milliseconds kLookEvery{100};
/// Who holds a turn longer waits for a server more than for a processor.
constexpr milliseconds kLongest{1000};
constexpr milliseconds kPatience{3000};

}  // namespace

void Turns::see(Seq log_end, SteadyClock::time_point now) {
  const auto passed = now - seen_at_;
  if (passed < kLookEvery) return;
  const double seconds = std::chrono::duration<double>(passed).count();
  const double grown = log_end.value() > seen_end_ ? static_cast<double>(log_end.value() - seen_end_) : 0;
  pours_ = seen_end_ != 0 && grown / seconds >= kPours;
  seen_at_ = now;
  seen_end_ = log_end.value();
}

bool Turns::is_free(SteadyClock::time_point now) const {
  const auto counting = std::ranges::count_if(held_, [now](const Held& held) { return now - held.since < kLongest; });
  return static_cast<std::size_t>(counting) < at_once_;
}

Turns::Turn Turns::take(Seq log_end) {
  std::unique_lock lock(mutex_);
  const auto began = SteadyClock::now();
  see(log_end, began);
  // Somebody's turn may come to count no more without a word.
  for (auto now = began; pours_ && !is_free(now) && now - began < kPatience; now = SteadyClock::now())
    changed_.wait_for(lock, kLookEvery);
  held_.push_back({next_, SteadyClock::now()});
  return {*this, next_++};
}

void Turns::give_back(std::uint64_t number) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(held_, [number](const Held& held) { return held.number == number; });
  }
  changed_.notify_one();
}

}  // namespace tailrace::pipeline
