#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>

#include "base/time.h"
#include "sources/postgres/server_load.h"
#include "sources/source.h"

namespace tailrace::postgres {

/// Keeps the readers of a copy, all together, below so many rows a second, and nearly still while the server has too
/// much other work. Owned by the copy; any thread.
class CopyPace {
 public:
  /// 0: no limit. `load` may be null.
  explicit CopyPace(std::uint64_t rows_per_second, std::unique_ptr<ServerLoad> load = nullptr)
      : rows_per_second_(rows_per_second), load_(std::move(load)) {}

  /// Counts rows that were read, and waits until they may have been, or until stopped. Throws RefusedError TR140 where
  /// the server's load may not be seen.
  void spend(std::uint64_t rows, sources::CopyProgress& progress, const std::stop_token& stop);

 private:
  void spend_rows(std::uint64_t rows, const std::stop_token& stop);

  const std::uint64_t rows_per_second_;
  const std::unique_ptr<ServerLoad> load_;
  std::mutex mutex_;
  /// When all rows counted so far may have been read.
  SteadyClock::time_point paid_until_;
};

}  // namespace tailrace::postgres
