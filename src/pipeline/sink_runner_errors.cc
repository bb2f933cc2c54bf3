// How a runner goes on after an error of its sink.

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "pipeline/sink_runner.h"
#include "sinks/busy_target.h"

namespace tailrace::pipeline {

using std::chrono::milliseconds;

void SinkRunner::refuse_old_target(const Cursor& cursor) {
  const std::string ends = fmt::format("the target {} ends at {}, but the log begins at {}", setup_.display,
                                       cursor.position.commit_end.str(),
                                       std::max(host_.log_begins(), journal_.start().position.commit_end).str());
  if (seen_ && *seen_ > cursor.position)
    throw sinks::DamagedTarget("TR605", fmt::format("{}; it was at {} before", ends, seen_->str()),
                               "move the target away and start again for a new copy");
  throw RefusedError("TR690", ends,
                     "the changes between them are gone: move the target away and start again for a new copy");
}

bool SinkRunner::set_target_aside(const sinks::DamagedTarget& damage, std::stop_token stop) {
  // A disk that damages one file after the other is not mended by writing more of them.
  constexpr int kMost = 3;
  meter_.failed(damage.code());
  try {
    if (set_aside_ == kMost)
      throw CorruptionError(
          "TR605",
          fmt::format("{} was set aside {} times and is damaged again: {}", setup_.display, kMost, damage.what()),
          "look at the disk of the target, then start again");
    drop_recopy();
    const sinks::SetAside done = sink_->set_aside();
    ++set_aside_;
    seen_.reset();
    log::warn("sink.damaged", "{}: {} [{}]; kept as {}; {}", setup_.name, damage.what(), damage.code(), done.kept,
              done.instead);
    forget_cursor();
    const std::lock_guard lock(mutex_);
    notices_.push_back({"TR624", setup_.name,
                        fmt::format("the target was damaged ({}); it is kept as {}; {} ({})", damage.what(), done.kept,
                                    done.instead, PgTime::now().str()),
                        "look at the disk; delete the damaged file when nobody needs it"});
    return true;
  } catch (const RetryError& error) {
    return back_off(error, stop);
  } catch (const Error& error) {
    fail(std::current_exception(), {error.code(), setup_.name, error.what(), error.remedy()});
    return false;
  }
}

bool SinkRunner::go_on_after(const Error& error, std::stop_token stop) {
  if (!detached()) return back_off(error, std::move(stop));
  meter_.failed(error.code());
  attach_failed(error);
  return true;
}

bool SinkRunner::back_off(const Error& error, std::stop_token stop) {
  auto pause = breaker_.failed();
  if (!pause) {
    fail(std::make_exception_ptr(RefusedError(error.code(), error.what(), error.remedy())),
         {"TR693", setup_.name,
          fmt::format("{} attempts in a row failed: {} {}", breaker_.failures(), error.code(), error.what()),
          error.remedy()});
    return false;
  }
  meter_.failed(error.code());
  if (const auto* busy = dynamic_cast<const sinks::BusyTarget*>(&error)) pause = std::max(*pause, busy->retry_after());
  {
    std::unique_lock lock(mutex_);
    state_ = State::kRetrying;
    breaker_state_ = breaker_.state();
    last_error_ = fmt::format("{} {}; next try in {} ms", error.code(), error.what(), pause->count());
    log::info("sink.retry", "{}: {}", setup_.name, last_error_);
    changed_.notify_all();
    changed_.wait_for(lock, stop, *pause, [this] { return drain_until_.has_value(); });
  }
  breaker_.attempt();
  const std::lock_guard lock(mutex_);
  breaker_state_ = breaker_.state();
  return true;
}

void SinkRunner::fail(const std::exception_ptr& failure, const sinks::SinkProblem& problem) {
  const std::string text = problem.code + " " + problem.what;
  meter_.failed(problem.code);
  // Whoever runs the pipeline shows the failure itself.
  log::info("sink.failed", "{}: {}", setup_.name, text);
  const std::lock_guard lock(mutex_);
  state_ = State::kFailed;
  failure_ = failure;
  last_error_ = text;
  problems_.push_back(problem);
  problems_.back().remedy += "; then start the pipeline again: this sink has ended, the log keeps what it lacks";
  changed_.notify_all();
}

}  // namespace tailrace::pipeline
