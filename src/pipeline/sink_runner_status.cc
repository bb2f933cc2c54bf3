// What a runner tells of itself.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "pipeline/sink_runner.h"

namespace tailrace::pipeline {

const char* SinkRunner::name_of(State state) {
  switch (state) {
    case State::kOpening: return "opening";
    case State::kCopying: return "copying";
    case State::kStreaming: return "streaming";
    case State::kIdle: return "streaming";
    case State::kReleased: return "released";
    case State::kLent: return "lent";
    case State::kPaused: return "paused";
    case State::kRetrying: return "retrying";
    case State::kDetached: return "detached";
    case State::kFailed: return "failed";
    case State::kStopped: return "stopped";
  }
  return "unknown";
}

std::vector<sinks::SinkProblem> SinkRunner::problems() const {
  const std::lock_guard lock(mutex_);
  std::vector<sinks::SinkProblem> all = notices_;
  all.insert(all.end(), problems_.begin(), problems_.end());
  if (recopy_problem_) all.push_back(*recopy_problem_);
  if (detached_at_)
    all.push_back(
        {"TR230", setup_.name,
         fmt::format("the log was full, and this sink was let go at {}; it gets nothing", detached_at_->str()),
         "see that the target can be reached and keeps pace: it is tried again by itself, and now with "
         "`tailrace resume`; its tables are copied again then"});
  return all;
}

SinkStatus SinkRunner::status() const {
  const Lsn log_end = journal_.stat().durable.position.commit_end;
  SinkStatus status{.name = setup_.name, .kind = setup_.kind, .display = setup_.display};
  status.dead_letters = catalog_.count_letters(setup_.name);
  const std::lock_guard lock(mutex_);
  status.state = name_of(detached_at_ && !attaching_ && state_ != State::kStopped ? State::kDetached : state_);
  status.durable_lsn = reached_.commit_end;
  status.counters = counters_;
  status.incomplete = incomplete_;
  status.completed = completed_;
  status.last_error = last_error_;
  status.batches = batches_;
  status.breaker = tailrace::pipeline::name_of(breaker_state_);
  if (log_end <= reached_.commit_end) return status;
  status.lag_bytes = log_end.value() - reached_.commit_end.value();
  const std::chrono::duration<double> behind = SteadyClock::now() - caught_up_at_;
  const double age = static_cast<double>(PgTime::now().micros() - reached_time_.micros()) / 1e6;
  status.lag_seconds = std::clamp(age, 0.0, behind.count());
  return status;
}

std::optional<SinkRunner::Missing> SinkRunner::missing(Lsn place, bool held_too) const {
  const std::lock_guard lock(mutex_);
  std::optional<Missing> found;
  if (detached_at_)
    return Missing{fmt::format("{}: it was let go, since the log was full", setup_.name), sinks::Lack::kForNow};
  if (first_incomplete_ && first_incomplete_->commit_end <= place)
    found = {fmt::format("{}: {} rows lack a value that is read from the source", setup_.name, incomplete_),
             sinks::Lack::kForNow};
  if (held_too) return found;
  for (const sinks::SinkProblem& problem : problems_) {
    if (problem.lack == sinks::Lack::kUntilDecided)
      return Missing{fmt::format("{}: {}", setup_.name, problem.what), problem.lack};
    if (problem.lack == sinks::Lack::kForNow && !found)
      found = {fmt::format("{}: {}", setup_.name, problem.what), problem.lack};
  }
  return found;
}

void SinkRunner::take_all_outcomes() {
  counters_ = sink_->counters();
  outcomes_ = sink_->take_outcomes();
  unrecorded_.reset();
}

SinkCounts SinkRunner::counts(SinkStatus& status) const {
  SinkCounts counts = meter_.look();
  const std::lock_guard lock(mutex_);
  status.counters = counters_;
  counts.outcomes = outcomes_;
  return counts;
}

Position SinkRunner::reached() const {
  const std::lock_guard lock(mutex_);
  return reached_;
}

std::optional<Position> SinkRunner::needed() const {
  const std::lock_guard lock(mutex_);
  if (detached_at_ && !attaching_) return journal_.stat().durable.position;
  if (!durable_) return std::nullopt;
  Position from = durable_->position;
  for (const auto& kept : {keeps_from_, recopy_from_}) from = std::min(from, kept.value_or(from));
  return from;
}

}  // namespace tailrace::pipeline
