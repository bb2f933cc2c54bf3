#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "pipeline/metrics.h"

namespace tailrace::server {

/// A pipeline of this process, as it is looked at from outside. Any thread may look.
class Watched {
 public:
  virtual ~Watched() = default;

  enum class Life : std::uint8_t { kRuns, kEnding, kEnded };

  virtual const std::string& name() const = 0;
  virtual Life life() const = 0;
  /// How long ago the loop that looks after the pipeline last came round.
  virtual std::chrono::milliseconds silence() const = 0;
  virtual pipeline::PipelineStatus status() const = 0;
  virtual pipeline::PipelineMetrics metrics() const = 0;
};

/// The pipelines of this process and what it does as a whole. Owned by whoever runs them; outlives who looks. Any
/// thread.
class WatchedPipelines {
 public:
  enum class Phase : std::uint8_t { kStarting, kRunning, kEnding };

  void set_phase(Phase phase) { phase_ = phase; }
  Phase phase() const { return phase_; }
  void count_reload(bool taken) { ++(taken ? reloads_ : refused_reloads_); }
  std::uint64_t reloads() const { return reloads_; }
  std::uint64_t refused_reloads() const { return refused_reloads_; }

  void add(const Watched& pipeline);
  /// On return nobody looks at it any more.
  void remove(const Watched& pipeline);
  /// Calls `look` with each of them, or, if `name` is not empty, with the one of that name.
  void for_each(const std::string& name, const std::function<void(const Watched&)>& look) const;

 private:
  std::atomic<Phase> phase_{Phase::kStarting};
  std::atomic<std::uint64_t> reloads_{0};
  std::atomic<std::uint64_t> refused_reloads_{0};
  mutable std::shared_mutex mutex_;
  std::vector<const Watched*> pipelines_;  // guarded by mutex_
};

}  // namespace tailrace::server
