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
  explicit WriterReceiver(std::unique_ptr<sinks::CopyWriter> writer) : writer_(std::move(writer)) {}
  void take(CopiedRows& rows) override { writer_->append(rows); }
  void finish() override { writer_->finish(); }

 private:
  std::unique_ptr<sinks::CopyWriter> writer_;
};

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
    if (row.done) status.fraction = 1;
    add_pace(row, status);
    seen.push_back(std::move(status));
  }
  return seen;
}

std::unique_ptr<sources::RowReceiver> receive_into(std::unique_ptr<sinks::CopyWriter> writer) {
  return std::make_unique<WriterReceiver>(std::move(writer));
}

bool copy_missing_tables(sources::Copy& copy, sinks::Sink& sink, const std::vector<CopiedTable>& copied,
                         CopyBoard& board, const std::function<void()>& store_letters, std::stop_token stop) {
  board.clear();
  std::vector<RelationPtr> missing;
  std::vector<std::pair<const sources::TableToCopy*, sources::CopyProgress*>> work;
  for (const sources::TableToCopy& table : copy.tables()) {
    const auto done = std::find_if(copied.begin(), copied.end(), [&table](const CopiedTable& other) {
      return other.relation->oid == table.relation->oid;
    });
    if (done != copied.end()) {
      board.add_done(table.relation->display_name(), done->rows);
      continue;
    }
    missing.push_back(table.relation);
    work.emplace_back(&table, &board.add(table.relation->display_name(), table.estimated_rows, table.pages));
  }
  sink.begin_copy(missing);
  for (const auto& [table, progress] : work) {
    const RelationPtr relation = table->relation;
    copy.copy(*table, [&sink, relation] { return receive_into(sink.open_copy(relation)); }, *progress, stop);
    if (stop.stop_requested()) return false;
    store_letters();
    TAILRACE_CRASH_POINT("copy_before_finish");
    sink.finish_copy({relation, copy.fence(), progress->rows.load()});
    TAILRACE_CRASH_POINT("copy_after_finish");
    board.finish(*progress);
    log::info("copy.table", "{}: {} rows", relation->display_name(), progress->rows.load());
  }
  return true;
}

}  // namespace tailrace::pipeline
