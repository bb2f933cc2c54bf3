// How a sink's runner completes rows that lack a value (docs/copy-and-fence.md, "Reading a few keys again").

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "pipeline/sink_runner.h"

namespace tailrace::pipeline {

void SinkRunner::complete_rows() {
  if (key_reader_.done()) take_read();
  if (released_ || unflushed_ || draining()) return;
  if (completion_) {
    if (reached().commit_end >= completion_->fence.end) put_completed();
  } else if (incomplete_ > 0 && !key_reader_.busy() && SteadyClock::now() >= next_completion_) {
    begin_reading();
  }
}

void SinkRunner::begin_reading() {
  next_completion_ = SteadyClock::now() + completion_pause_;
  completion_pause_ = std::min(completion_pause_ * 2, settings_.longest_completion);
  if (std::optional<sinks::IncompleteRows> rows = sink_->incomplete()) key_reader_.begin(*std::move(rows));
}

void SinkRunner::take_read() {
  // Whatever the source answers, the sink goes on: these rows wait, and `status` shows them.
  try {
    completion_ = key_reader_.take();
  } catch (const RetryError& error) {
    log::info("sink.completion", "{}: {}", setup_.name, error.what());
  } catch (const ReconnectError& error) {
    log::info("sink.completion", "{}: {}", setup_.name, error.what());
  } catch (const RefusedError& error) {
    log::warn("sink.completion", "{}: {} [{}]", setup_.name, error.what(), error.code());
  }
}

void SinkRunner::put_completed() {
  // The cursor then is past the fence in the target, too.
  if (pending_) apply(*pending_);
  const std::uint64_t completed = sink_->complete(*std::exchange(completion_, std::nullopt));
  store_letters();
  flush();
  if (completed == 0) return;
  completion_pause_ = settings_.first_completion;
  next_completion_ = SteadyClock::now();
  log::info("sink.completed", "{}: {} rows that lacked a value were read from the source", setup_.name, completed);
  const std::lock_guard lock(mutex_);
  completed_ += completed;
}

}  // namespace tailrace::pipeline
