#pragma once

#include <cstdint>
#include <mutex>
#include <stop_token>

#include "base/time.h"

namespace tailrace::postgres {

/// Keeps the readers of a copy, all together, below so many rows a second. Owned by the copy; any thread.
class CopyPace {
 public:
  /// 0: no limit.
  explicit CopyPace(std::uint64_t rows_per_second) : rows_per_second_(rows_per_second) {}

  /// Counts rows that were read, and waits until they may have been, or until stopped.
  void spend(std::uint64_t rows, const std::stop_token& stop);

 private:
  const std::uint64_t rows_per_second_;
  std::mutex mutex_;
  /// When all rows counted so far may have been read.
  SteadyClock::time_point paid_until_;
};

}  // namespace tailrace::postgres
