#include "pipeline/key_reader.h"

#include <utility>

namespace tailrace::pipeline {

void KeyReader::begin(sinks::IncompleteRows rows) {
  thread_ = std::jthread([this, rows = std::move(rows)](std::stop_token stop) { run(rows, std::move(stop)); });
}

void KeyReader::run(const sinks::IncompleteRows& rows, std::stop_token stop) {
  try {
    result_ = read_(rows, std::move(stop));
  } catch (...) {
    // Thrown again where the result is taken.
    failure_ = std::current_exception();
  }
  done_.store(true, std::memory_order_release);
}

FencedRows KeyReader::take() {
  thread_.join();
  thread_ = {};
  done_ = false;
  if (const std::exception_ptr failure = std::exchange(failure_, nullptr)) std::rethrow_exception(failure);
  return *std::exchange(result_, std::nullopt);
}

void KeyReader::drop() {
  thread_ = {};
  result_.reset();
  failure_ = nullptr;
  done_ = false;
}

}  // namespace tailrace::pipeline
