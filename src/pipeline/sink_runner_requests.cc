// What other threads ask of a runner: to let go of its target, and to mend rows.

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "pipeline/sink_runner.h"

namespace tailrace::pipeline {

using std::chrono::milliseconds;

void SinkRunner::lend(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  if (lend_wanted_) {
    throw RetryError("TR691", fmt::format("{} is lent already", setup_.name), "wait until it is given back");
  }
  lend_wanted_ = true;
  const bool free = changed_.wait_for(lock, timeout, [this] {
    return (state_ == State::kLent && visits_ == 0) || state_ == State::kFailed || state_ == State::kStopped;
  });
  if (free && state_ == State::kLent) return;
  lend_wanted_ = false;
  changed_.notify_all();
  if (state_ == State::kLent) {
    throw TimeoutError("TR220", fmt::format("{} could not be freed in time: it is being read", setup_.name),
                       "try again when the query is done");
  }
  if (free) throw RetryError("TR691", fmt::format("{} is not running", setup_.name), "look at `tailrace status`");
  throw TimeoutError("TR220", fmt::format("{} could not be freed in time (it is {})", setup_.name, name_of(state_)),
                     "try again when the copy or the large transaction is done");
}

void SinkRunner::give_back() {
  const std::lock_guard lock(mutex_);
  lend_wanted_ = false;
  changed_.notify_all();
}

TargetVisit SinkRunner::visit(milliseconds patience, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, stop, patience, [this] { return !lend_wanted_ || state_ != State::kLent; }))
    throw RetryError("TR691", fmt::format("{} is lent", setup_.name), "ask again when it is given back");
  ++visits_;
  return TargetVisit([this] {
    const std::lock_guard ending(mutex_);
    --visits_;
    changed_.notify_all();
  });
}

void SinkRunner::serve_lend(std::stop_token stop) {
  if (!released_ && pending_) apply(*pending_);
  release(State::kLent);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [this] { return !lend_wanted_ || drain_until_.has_value(); });
}

std::uint64_t SinkRunner::mend(Mending mending, milliseconds timeout) {
  std::unique_lock lock(mutex_);
  mended_.reset();
  mending_failure_ = nullptr;
  mending_ = std::move(mending);
  const bool done = changed_.wait_for(lock, timeout, [this] {
    return mended_ || mending_failure_ || state_ == State::kFailed || state_ == State::kStopped;
  });
  mending_.reset();
  if (mending_failure_) std::rethrow_exception(mending_failure_);
  if (done && mended_) return *mended_;
  throw TimeoutError("TR221", fmt::format("{} did not come to mending rows (it is {})", setup_.name, name_of(state_)),
                     "look at `tailrace status`, and try again");
}

void SinkRunner::mend_rows() {
  std::optional<Mending> mending;
  {
    const std::lock_guard lock(mutex_);
    if (!mending_ || unflushed_ || released_) return;
    mending = std::exchange(mending_, std::nullopt);
  }
  // The cursor then is where the log has come to in the target, too.
  if (pending_) apply(*pending_);
  std::vector<sinks::ExpectedRow> rows;
  try {
    rows = mending->rows_at(reached());
  } catch (const Error&) {
    const std::lock_guard lock(mutex_);
    mending_failure_ = std::current_exception();
    changed_.notify_all();
    return;
  }
  const std::uint64_t mended = sink_->mend(*mending->relation, rows);
  store_letters();
  flush();
  log::info("sink.mended", "{}: {} rows of {} were put right", setup_.name, mended, mending->relation->display_name());
  const std::lock_guard lock(mutex_);
  mended_ = mended;
  changed_.notify_all();
}

}  // namespace tailrace::pipeline
