#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "base/error.h"

namespace tailrace::sinks {

/// The target is busy and may say how long it wants to be left alone: the next try comes no earlier.
class BusyTarget final : public RetryError {
 public:
  BusyTarget(std::string code, const std::string& what, std::string remedy, std::chrono::milliseconds retry_after)
      : RetryError(std::move(code), what, std::move(remedy)), retry_after_(retry_after) {}
  std::chrono::milliseconds retry_after() const { return retry_after_; }

 private:
  std::chrono::milliseconds retry_after_;
};

}  // namespace tailrace::sinks
