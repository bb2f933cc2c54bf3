#include "sources/postgres/copy_pace.h"

#include <algorithm>

#include "sources/postgres/stop_signal.h"

namespace tailrace::postgres {

void CopyPace::spend(std::uint64_t rows, sources::CopyProgress& progress, const std::stop_token& stop) {
  spend_rows(rows, stop);
  if (load_) load_->wait(progress, stop);
}

void CopyPace::spend_rows(std::uint64_t rows, const std::stop_token& stop) {
  if (rows_per_second_ == 0) return;
  const std::chrono::duration<double> cost(static_cast<double>(rows) / static_cast<double>(rows_per_second_));
  const auto now = SteadyClock::now();
  SteadyClock::time_point until;
  {
    const std::lock_guard lock(mutex_);
    paid_until_ = std::max(paid_until_, now) + std::chrono::duration_cast<SteadyClock::duration>(cost);
    until = paid_until_;
  }
  if (until <= now || stop.stop_requested()) return;
  StopSignal(stop).sleep_for_ms(
      static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(until - now).count()));
}

}  // namespace tailrace::postgres
