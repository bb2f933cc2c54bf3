#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <optional>
#include <stop_token>
#include <thread>

#include "sinks/sink.h"

namespace tailrace::pipeline {

/// Reads incomplete rows from the source on a thread of its own, so that a source that does not answer holds up neither
/// the sink's applying nor its end. Owned by a sink's runner and used by its thread.
class KeyReader {
 public:
  using Read = std::function<FencedRows(const sinks::IncompleteRows& rows, std::stop_token stop)>;

  /// `read` is called on the reader's thread, must return soon after a stop request, and outlives the reader.
  explicit KeyReader(Read read) : read_(std::move(read)) {}
  KeyReader(const KeyReader&) = delete;
  KeyReader& operator=(const KeyReader&) = delete;

  /// REQUIRES: not busy.
  void begin(sinks::IncompleteRows rows);
  /// A read was begun, and neither taken nor dropped.
  bool busy() const { return thread_.joinable(); }
  /// True when take() has something to say.
  bool done() const { return done_.load(std::memory_order_acquire); }
  /// What was read, or throws what the read threw. REQUIRES: done.
  FencedRows take();
  /// Gives up what is being read.
  void drop();

 private:
  void run(const sinks::IncompleteRows& rows, std::stop_token stop);

  const Read read_;
  // Written by the thread before `done_`.
  std::optional<FencedRows> result_;
  std::exception_ptr failure_;
  std::atomic<bool> done_ = false;
  std::jthread thread_;
};

}  // namespace tailrace::pipeline
