// How a runner is held by a person: paused until it is resumed, or taken back to an earlier place.

#include <fmt/format.h>

#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "pipeline/sink_runner.h"

namespace tailrace::pipeline {

using std::chrono::milliseconds;

namespace {

/// How long the journal is asked for its next batch while an earlier place is looked for.
constexpr milliseconds kNoWait{0};

}  // namespace

std::string pause_key(const std::string& sink) { return "paused/" + sink; }

void SinkRunner::set_paused(bool paused) {
  const std::lock_guard lock(mutex_);
  catalog_.set_text(pause_key(setup_.name), paused ? "yes" : "");
  paused_ = paused;
  next_attach_ = {};
  changed_.notify_all();
}

bool SinkRunner::paused() const {
  const std::lock_guard lock(mutex_);
  return paused_;
}

void SinkRunner::serve_pause(std::stop_token stop) {
  if (sink_ && !released_) {
    if (pending_) apply(*pending_);
    release(State::kPaused);
  }
  publish(State::kPaused);
  log::info("sink.paused", "{}: paused; the log keeps what it lacks", setup_.name);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [this] { return !paused_ || rewinding_ || drain_until_.has_value(); });
}

Cursor SinkRunner::rewind(const Rewinding& to, milliseconds timeout) {
  std::unique_lock lock(mutex_);
  rewound_.reset();
  rewinding_failure_ = nullptr;
  rewinding_ = to;
  changed_.notify_all();
  const bool done = changed_.wait_for(lock, timeout, [this] {
    return rewound_ || rewinding_failure_ || state_ == State::kFailed || state_ == State::kStopped;
  });
  rewinding_.reset();
  if (rewinding_failure_) std::rethrow_exception(rewinding_failure_);
  if (done && rewound_) return *rewound_;
  throw TimeoutError("TR221",
                     fmt::format("{} did not come to being taken back (it is {})", setup_.name, name_of(state_)),
                     "look at `tailrace status`, and try again");
}

std::optional<Cursor> SinkRunner::place_of(const Rewinding& to, const std::stop_token& stop) {
  const std::unique_ptr<journal::Reader> reader = journal_.reader(std::nullopt);
  Cursor found = journal_.start();
  // Nothing that the log lacks lies between them.
  if (found.position.commit_end < host_.log_begins()) found.position.commit_end = host_.log_begins();
  while (!stop.stop_requested()) {
    const ChangeBatchPtr batch = reader->next(settings_.batch, stop, kNoWait);
    if (!batch) return found;
    for (const Transaction& transaction : batch->transactions) {
      const bool beyond = to.lsn ? transaction.commit_end > *to.lsn : transaction.monotone_time > to.time;
      if (beyond || transaction.position(0) > reached()) return found;
      if (!transaction.last_part) continue;
      found = {transaction.position(transaction.changes), transaction.change_seq(transaction.changes),
               transaction.commit_time};
    }
  }
  return std::nullopt;
}

bool SinkRunner::rewind_now(const std::stop_token& stop) {
  std::optional<Rewinding> to;
  {
    const std::lock_guard lock(mutex_);
    if (!rewinding_ || unflushed_) return false;
    to = std::exchange(rewinding_, std::nullopt);
  }
  try {
    const std::optional<Cursor> place = place_of(*to, stop);
    if (!place) return false;
    if (!sink_->rewind(*place))
      throw RefusedError("TR694",
                         fmt::format("{} holds the rows of its place and cannot be taken back", setup_.display),
                         "copy tables again where they are in doubt: tailrace snapshot NAME TABLE");
    TAILRACE_CRASH_POINT("sink_rewound");
    log::info("sink.rewound", "{}: goes on again from {}", setup_.name, place->position.str());
    seen_ = place->position;
    const std::lock_guard lock(mutex_);
    durable_ = rewound_ = place;
    changed_.notify_all();
    return true;
  } catch (const Error&) {
    const std::lock_guard lock(mutex_);
    rewinding_failure_ = std::current_exception();
    changed_.notify_all();
    return false;
  }
}

}  // namespace tailrace::pipeline
