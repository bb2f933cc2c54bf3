#pragma once

#include <sys/resource.h>
#include <sys/time.h>

#include <chrono>

#include "base/time.h"

namespace tailrace {

/// Processor time of this process so far, of all its threads, in user and kernel.
inline double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// The most memory that this process has held.
inline long peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

/// Time and processor time of this process, of many pieces together.
class Meter {
 public:
  void begin() {
    began_ = SteadyClock::now();
    cpu_before_ = cpu_seconds();
  }
  void end() {
    seconds += std::chrono::duration<double>(SteadyClock::now() - began_).count();
    cpu += cpu_seconds() - cpu_before_;
  }
  double seconds = 0;
  double cpu = 0;

 private:
  SteadyClock::time_point began_;
  double cpu_before_ = 0;
};

}  // namespace tailrace
