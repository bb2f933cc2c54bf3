#pragma once

#include <atomic>
#include <cstdint>

namespace tailrace::journal {

/// Disk space of segments, adopted files and spills, against Options::max_bytes. Any thread.
class Space {
 public:
  explicit Space(std::uint64_t max) : max_(max) {}

  /// Throws RetryError, taking nothing, when the limit would be passed.
  void take(std::uint64_t bytes);
  /// Of files that are there already: counted, whatever the limit.
  void count(std::uint64_t bytes) { used_ += bytes; }
  void give_back(std::uint64_t bytes) { used_ -= bytes; }
  std::uint64_t used() const { return used_; }
  std::uint64_t max() const { return max_; }

 private:
  const std::uint64_t max_;
  std::atomic<std::uint64_t> used_{0};
};

}  // namespace tailrace::journal
