#include "pipeline/recopy.h"

#include <utility>

#include "pipeline/first_copy.h"

namespace tailrace::pipeline {

void Recopy::start(Step then, std::function<void(std::stop_token stop)> work) {
  thread_ = {};
  done_ = false;
  then_ = then;
  thread_ = std::jthread([this, work = std::move(work)](std::stop_token stop) {
    try {
      work(std::move(stop));
    } catch (...) {
      // Thrown again by look().
      failure_ = std::current_exception();
    }
    done_.store(true, std::memory_order_release);
  });
}

Recopy::Step Recopy::look() {
  if (!request_) return Step::kNone;
  if (!done_.load(std::memory_order_acquire)) return Step::kAtWork;
  if (failure_) {
    const std::exception_ptr failure = failure_;
    drop();
    std::rethrow_exception(failure);
  }
  return then_;
}

void Recopy::begin(const CopyRequest& request, const Cursor& from) {
  request_ = request;
  from_ = from;
  start(Step::kSnapshot,
        [this, table = request.table](std::stop_token stop) { copy_ = begin_(std::move(stop), table); });
}

const sources::TableToCopy* Recopy::found() const {
  return copy_ && !copy_->tables().empty() ? &copy_->tables().front() : nullptr;
}

void Recopy::read(sinks::SidePlace place, sources::CopyProgress& progress) {
  start(Step::kRead, [this, place = std::move(place), &progress](const std::stop_token& stop) {
    sources::TableToCopy table = copy_->tables().front();
    table.where = request_->where;
    copy_->copy(table, [&] { return receive_into(place.make_writer()); }, progress, stop);
    table.where.clear();
    if (place.suspects && !stop.stop_requested()) {
      const std::vector<std::string> keys = place.suspects();
      const auto receiver = receive_into(place.make_writer());
      copy_->copy_keys(table, keys, *receiver, progress, stop);
    }
    copied_ = {table.relation, copy_->fence(), progress.rows.load()};
    // The source need not keep the snapshot any longer.
    copy_.reset();
  });
}

void Recopy::drop() {
  thread_ = {};
  request_.reset();
  copy_.reset();
  failure_ = nullptr;
  done_ = false;
}

}  // namespace tailrace::pipeline
