#pragma once

#include <cstdint>
#include <stop_token>

#include "base/unique_fd.h"

namespace tailrace::postgres {

/// Makes a stop request visible to poll(). Lives on the waiting thread.
class StopSignal {
 public:
  explicit StopSignal(std::stop_token stop);
  int fd() const { return fd_.get(); }
  bool requested() const { return stop_.stop_requested(); }
  /// Sleeps, at most until the stop request.
  void sleep_for_ms(int milliseconds) const;

 private:
  struct Raise {
    int fd;
    void operator()() const;
  };
  std::stop_token stop_;
  UniqueFd fd_;
  std::stop_callback<Raise> callback_;
};

}  // namespace tailrace::postgres
