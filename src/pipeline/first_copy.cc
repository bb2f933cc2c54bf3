#include "pipeline/first_copy.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/crash_point.h"
#include "base/log.h"

namespace tailrace::pipeline {
namespace {

/// Of less than that no pace is told.
constexpr double kShortest = 1;

class WriterReceiver final : public sources::RowReceiver {
 public:
  WriterReceiver(std::unique_ptr<sinks::CopyWriter> writer, const Fence* fence)
      : writer_(std::move(writer)), fence_(fence) {}
  void take(CopiedRows& rows) override { writer_->append(rows); }
  void range_done(const PageRange& range) override {
    if (fence_ != nullptr) writer_->range_done(range, *fence_);
  }
  void finish() override { writer_->finish(); }

 private:
  std::unique_ptr<sinks::CopyWriter> writer_;
  const Fence* fence_;
};

/// A table that is to be copied, whole or what is missing of it.
struct Work {
  sources::TableToCopy table;
  sources::CopyProgress* progress = nullptr;
  bool goes_on = false;
};

/// Whether rows that were read under an earlier snapshot are the table's still, but for those that the log tells of.
bool may_go_on(const sinks::PartialCopy& partial, const sources::TableToCopy& table) {
  return table.resumable && *partial.relation == *table.relation;
}

/// Brings what is there of the table to the copy's fence. False when it is of no use.
bool go_on(sinks::Sink& sink, const sinks::PartialCopy& partial, const Fence& now, const CopyHelp& help) {
  sinks::ResumedCopy* resumed = sink.resumed_copy();
  if (resumed == nullptr) return false;
  resumed->begin(partial, now);
  if (help.read_log(now.end, [resumed](const ChangeBatch& batch) { return resumed->see(batch); })) {
    resumed->settle();
    return true;
  }
  resumed->drop();
  return false;
}

/// The rows that changed since the part of the table was read that is there, and lie in it still.
void copy_changed(sources::Copy& copy, sinks::Sink& sink, const Work& work, const std::stop_token& stop) {
  const RelationPtr relation = work.table.relation;
  while (!stop.stop_requested()) {
    const std::vector<std::string> keys = sink.resumed_copy()->unread_keys(relation);
    if (keys.empty()) return;
    const auto receiver = receive_into(sink.open_copy(relation));
    copy.copy_keys(work.table, keys, *receiver, *work.progress, stop);
  }
}

std::uint64_t pages_of(const std::vector<PageRange>& ranges) {
  std::uint64_t pages = 0;
  for (const PageRange& range : ranges) pages += range.end - range.first;
  return pages;
}

/// The tables that are missing, those first that go on.
std::vector<Work> find_work(sources::Copy& copy, sinks::Sink& sink, const sinks::SinkState& there, CopyBoard& board,
                            const CopyHelp& help) {
  std::vector<Work> work;
  for (const sources::TableToCopy& table : copy.tables()) {
    const Oid oid = table.relation->oid;
    const std::string name = table.relation->display_name();
    const auto done =
        std::ranges::find(there.copied, oid, [](const CopiedTable& other) { return other.relation->oid; });
    if (done != there.copied.end()) {
      board.add_done(name, done->rows);
      continue;
    }
    Work one{table, &board.add(name, table.estimated_rows, table.pages)};
    const auto part =
        std::ranges::find(there.partial, oid, [](const sinks::PartialCopy& other) { return other.relation->oid; });
    if (part != there.partial.end() && may_go_on(*part, table)) one.goes_on = go_on(sink, *part, copy.fence(), help);
    if (one.goes_on) {
      one.table.done = part->done;
      one.progress->rows = part->rows;
      one.progress->pages_done = pages_of(part->done);
      log::info("copy.resumed", "{}: goes on behind {} rows", name, part->rows);
    }
    work.push_back(std::move(one));
  }
  return work;
}

}  // namespace

void CopyBoard::clear() {
  const std::lock_guard lock(mutex_);
  rows_.clear();
}

void CopyBoard::add_done(const std::string& table, std::uint64_t rows) {
  add(table, static_cast<double>(rows), 0).rows = rows;
  const std::lock_guard lock(mutex_);
  rows_.back().done = true;
}

sources::CopyProgress& CopyBoard::add(const std::string& table, double estimated_rows, std::uint64_t pages) {
  const std::lock_guard lock(mutex_);
  Row& row = rows_.emplace_back();
  row.table = table;
  row.estimated_rows = estimated_rows;
  row.pages = pages;
  return row.progress;
}

void CopyBoard::finish(const sources::CopyProgress& progress) {
  const std::lock_guard lock(mutex_);
  for (Row& row : rows_) {
    if (&row.progress == &progress) row.done = true;
  }
}

void CopyBoard::forget(const std::string& table) {
  const std::lock_guard lock(mutex_);
  rows_.remove_if([&table](const Row& row) { return row.table == table; });
}

void CopyBoard::add_pace(Row& row, CopyStatus& status) {
  if (row.done || status.rows == 0) return;
  const auto now = SteadyClock::now();
  if (!row.began) row.began = now;
  const double seconds = std::chrono::duration<double>(now - *row.began).count();
  if (seconds < kShortest || status.fraction <= 0) return;
  status.rows_per_second = static_cast<double>(status.rows) / seconds;
  status.seconds_left = seconds * (1 - status.fraction) / status.fraction;
}

std::vector<CopyStatus> CopyBoard::look() {
  const std::lock_guard lock(mutex_);
  std::vector<CopyStatus> seen;
  for (Row& row : rows_) {
    CopyStatus status{.sink = sink_,
                      .table = row.table,
                      .rows = row.progress.rows.load(std::memory_order_relaxed),
                      .estimated_rows = row.estimated_rows,
                      .done = row.done};
    const auto pages_done = static_cast<double>(row.progress.pages_done.load(std::memory_order_relaxed));
    if (row.pages > 0) status.fraction = std::min(pages_done / static_cast<double>(row.pages), 1.0);
    // Pages count when a whole range of them is read; until then the statistics say it, as well as they can.
    if (status.fraction == 0 && row.estimated_rows > 0)
      status.fraction = std::min(static_cast<double>(status.rows) / row.estimated_rows, 0.99);
    if (row.done) status.fraction = 1;
    status.waits_for_server = !row.done && row.progress.waits_for_server.load(std::memory_order_relaxed);
    add_pace(row, status);
    seen.push_back(std::move(status));
  }
  return seen;
}

std::unique_ptr<sources::RowReceiver> receive_into(std::unique_ptr<sinks::CopyWriter> writer, const Fence* fence) {
  return std::make_unique<WriterReceiver>(std::move(writer), fence);
}

bool copy_missing_tables(sources::Copy& copy, sinks::Sink& sink, const sinks::SinkState& there, CopyBoard& board,
                         const CopyHelp& help, const std::stop_token& stop) {
  board.clear();
  const std::vector<Work> all = find_work(copy, sink, there, board, help);
  // What is there is not given up because somebody could not wait.
  if (stop.stop_requested()) return false;
  std::vector<RelationPtr> fresh;
  for (const Work& work : all)
    if (!work.goes_on) fresh.push_back(work.table.relation);
  sink.begin_copy(fresh);
  for (const Work& work : all) {
    const RelationPtr relation = work.table.relation;
    const Fence* fence = work.table.resumable ? &copy.fence() : nullptr;
    copy.copy(work.table, [&] { return receive_into(sink.open_copy(relation), fence); }, *work.progress, stop);
    if (work.goes_on) copy_changed(copy, sink, work, stop);
    if (stop.stop_requested()) return false;
    help.store_letters();
    TAILRACE_CRASH_POINT("copy_before_finish");
    sink.finish_copy({relation, copy.fence(), work.progress->rows.load()});
    TAILRACE_CRASH_POINT("copy_after_finish");
    board.finish(*work.progress);
    log::info("copy.table", "{}: {} rows", relation->display_name(), work.progress->rows.load());
  }
  return true;
}

}  // namespace tailrace::pipeline
