#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "base/time.h"
#include "model/position.h"

namespace tailrace::pipeline {

/// While the source pours changes in, sinks work one after the other, as many at a time as there are processors beside
/// the one that reads: else four of them with their servers leave the source, and the server that decodes for it, a
/// part of a processor only, and all of them wait for what it would have read. What they have not done they do once it
/// is quiet. A sink that takes long, since its target does, holds up nobody: after a while its turn does not count.
/// Owned by the pipeline; any thread.
class Turns {
 public:
  /// `at_once`: how many turns there are, at least one.
  explicit Turns(unsigned at_once) : at_once_(at_once) {}

  /// Held while a batch is applied. Moved, not copied.
  class Turn {
   public:
    Turn() = default;
    Turn(Turns& turns, std::uint64_t number) : turns_(&turns), number_(number) {}
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)), number_(other.number_) {}
    Turn& operator=(Turn&&) = delete;
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      if (turns_ != nullptr) turns_->give_back(number_);
    }

   private:
    Turns* turns_ = nullptr;
    std::uint64_t number_ = 0;
  };
  /// Waits for a turn, a few seconds at the most; at once while the log grows slowly. `log_end`: the number of its last
  /// change.
  Turn take(Seq log_end);

 private:
  struct Held {
    std::uint64_t number;
    SteadyClock::time_point since;
  };
  void see(Seq log_end, SteadyClock::time_point now);
  bool is_free(SteadyClock::time_point now) const;
  void give_back(std::uint64_t number);

  const unsigned at_once_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Held> held_;
  std::uint64_t next_ = 1;
  /// When the log was looked at, and where it ended then.
  SteadyClock::time_point seen_at_;
  std::uint64_t seen_end_ = 0;
  bool pours_ = false;
};

}  // namespace tailrace::pipeline
