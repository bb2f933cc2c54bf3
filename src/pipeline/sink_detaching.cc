// How a sink is let go when the log is full, and made right later (docs/detached-sinks.md).

#include <fmt/format.h>

#include <algorithm>

#include "base/crash_point.h"
#include "base/log.h"
#include "pipeline/sink_runner.h"

namespace tailrace::pipeline {

namespace {

constexpr std::chrono::hours kLongestPause{1};

}  // namespace

std::string detach_key(const std::string& sink) { return "detached/" + sink; }

void SinkRunner::detach() {
  const std::lock_guard lock(mutex_);
  if (detached_at_ || !durable_) return;
  // Before anything is trimmed.
  catalog_.set_text(detach_key(setup_.name), durable_->position.str());
  TAILRACE_CRASH_POINT("sink_detached");
  detached_at_ = durable_->position;
  attaching_ = false;
  SteadyClock::duration pause = setup_.delivery.retry.recovery;
  for (int n = 0; n < times_detached_ && pause < kLongestPause; ++n) pause *= 2;
  ++times_detached_;
  next_attach_ = SteadyClock::now() + std::min<SteadyClock::duration>(pause, kLongestPause);
  log::warn("sink.detached", "{}: let go at {}, since the log is full; the tables are copied again later", setup_.name,
            detached_at_->str());
  changed_.notify_all();
}

bool SinkRunner::detached() const {
  const std::lock_guard lock(mutex_);
  return detached_at_.has_value();
}

void SinkRunner::serve_detached(std::stop_token stop) {
  drop_recopy();
  key_reader_.drop();
  completion_.reset();
  reader_.reset();
  pending_.reset();
  unflushed_ = false;
  gathering_.reset();
  // What was applied and not flushed goes with it.
  sink_.reset();
  released_ = false;
  publish(State::kDetached);
  std::unique_lock lock(mutex_);
  // By value: it is looked at while the lock is not held.
  const SteadyClock::time_point until = next_attach_;
  changed_.wait_until(lock, stop, until,
                      [this] { return paused_ || drain_until_.has_value() || SteadyClock::now() >= next_attach_; });
}

void SinkRunner::attach_failed(const Error& error) {
  const std::lock_guard lock(mutex_);
  attaching_ = false;
  last_error_ = fmt::format("{} {}", error.code(), error.what());
  next_attach_ = SteadyClock::now() + setup_.delivery.retry.recovery;
}

bool SinkRunner::attach(const sinks::SinkState& state) {
  const std::optional<Cursor> cursor = state.cursor ? state.cursor : state.resume;
  Cursor from = journal_.stat().durable;
  {
    const std::lock_guard lock(mutex_);
    // Without one everything is copied, as for a new target.
    durable_ = cursor;
    attaching_ = true;
  }
  host_.pass_retention();
  const bool all_there =
      !cursor || (cursor->position.commit_end >= host_.log_begins() && cursor->position >= journal_.start().position);
  if (!all_there) {
    {
      const std::lock_guard lock(mutex_);
      durable_ = from;
    }
    sink_->begin_epoch(from);
    TAILRACE_CRASH_POINT("attach_begun");
    sink_->flush();
    TAILRACE_CRASH_POINT("attach_flushed");
    log::warn("sink.attached",
              "{}: what was committed from {} to {} is missing in the target; the tables are copied again", setup_.name,
              cursor->position.str(), from.position.str());
  } else {
    log::info("sink.attached", "{}: the log has all that it lacks", setup_.name);
  }
  const std::lock_guard lock(mutex_);
  catalog_.set_text(detach_key(setup_.name), "");
  seen_.reset();
  detached_at_.reset();
  attaching_ = false;
  return !all_there;
}

}  // namespace tailrace::pipeline
