#include "sources/postgres/snapshot_copy.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include "base/crash_point.h"
#include "base/error.h"
#include "sources/postgres/connection.h"
#include "sources/postgres/copy_reader.h"

namespace tailrace::postgres {
namespace {

constexpr std::uint64_t kSmallestChunk = 1024;
constexpr std::uint64_t kLargestChunk = 16384;
constexpr std::uint64_t kChunksPerReader = 8;
/// The server finds page ranges without reading the rest of the table from this version on.
constexpr int kTidRangeVersion = 140000;

/// Hands out the chunks of one table to its readers.
class ChunkPlan {
 public:
  ChunkPlan(const TableToCopy& table, std::string snapshot_name, std::uint64_t pages, int readers)
      : table_(table), snapshot_name_(std::move(snapshot_name)), pages_(pages) {
    const std::uint64_t even = pages / (static_cast<std::uint64_t>(readers) * kChunksPerReader);
    size_ = std::clamp(even, kSmallestChunk, kLargestChunk);
    whole_ = pages <= size_;
  }

  std::uint64_t count() const { return whole_ ? 1 : (pages_ + size_ - 1) / size_; }

  /// False when all have been given.
  bool next(CopyChunk& chunk) {
    const std::lock_guard lock(mutex_);
    if (given_ == count()) return false;
    chunk = CopyChunk{snapshot_name_, &table_, given_ * size_, (given_ + 1) * size_, whole_, given_ + 1 == count()};
    ++given_;
    return true;
  }
  std::uint64_t chunk_pages() const { return whole_ ? pages_ : size_; }

 private:
  const TableToCopy& table_;
  std::string snapshot_name_;
  std::uint64_t pages_;
  std::uint64_t size_ = 0;
  bool whole_ = false;
  std::mutex mutex_;
  std::uint64_t given_ = 0;
};

/// Takes chunks until there are none. False when stopped.
bool read_chunks(CopyReader& reader, ChunkPlan& plan, const RelationPtr& relation, RowReceiver& receiver,
                 CopyProgress& progress, const std::stop_token& stop) {
  reader.begin_table(relation);
  CopyChunk chunk;
  while (plan.next(chunk)) {
    if (!reader.read(chunk, receiver, progress, stop)) return false;
    progress.pages_done += plan.chunk_pages();
  }
  reader.flush(receiver, progress, stop);
  if (stop.stop_requested()) return false;
  receiver.finish();
  return true;
}

}  // namespace

SnapshotCopy::SnapshotCopy(SourceSpec spec, std::unique_ptr<Connection> holder, std::string snapshot_name, Fence fence,
                           std::vector<TableToCopy> tables)
    : spec_(std::move(spec)),
      pace_(static_cast<std::uint64_t>(spec_.copy_rows_per_second)),
      holder_(std::move(holder)),
      snapshot_name_(std::move(snapshot_name)),
      fence_(std::move(fence)),
      tables_(std::move(tables)) {}

SnapshotCopy::~SnapshotCopy() = default;

std::uint64_t SnapshotCopy::pages_now(const TableToCopy& table) {
  const Rows rows = holder_->query("SELECT pg_relation_size($1::oid) / current_setting('block_size')::int",
                                   {std::to_string(table.relation->oid.value())}, "looking at a table's size");
  return rows.unsigned_number(0, 0);
}

void SnapshotCopy::copy(const TableToCopy& table, const std::function<std::unique_ptr<RowReceiver>()>& make_receiver,
                        CopyProgress& progress, std::stop_token stop) {
  const bool ranges = !table.partitioned && holder_->server_version() >= kTidRangeVersion;
  const int wanted = std::max(1, spec_.copy_readers);
  ChunkPlan plan(table, snapshot_name_, ranges ? pages_now(table) : 0, wanted);
  const std::size_t count = std::min(static_cast<std::size_t>(wanted), static_cast<std::size_t>(plan.count()));
  readers_.resize(std::max(readers_.size(), count));

  std::stop_source stop_all;
  const std::stop_callback forward(stop, [&] { stop_all.request_stop(); });
  std::mutex failure_mutex;
  std::exception_ptr failure;
  const auto work = [&](std::unique_ptr<CopyReader>& reader) {
    try {
      if (!reader)
        reader =
            std::make_unique<CopyReader>(Connection::open(spec_, ConnectionKind::kSql, stop_all.get_token()), pace_);
      const std::unique_ptr<RowReceiver> receiver = make_receiver();
      if (!read_chunks(*reader, plan, table.relation, *receiver, progress, stop_all.get_token())) reader.reset();
    } catch (...) {
      // Kept for the calling thread, which throws it on; the other readers have no more use.
      reader.reset();
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
      stop_all.request_stop();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < count; ++i) threads.emplace_back([&, i] { work(readers_[i]); });
    work(readers_[0]);
  }
  if (failure) std::rethrow_exception(failure);
  TAILRACE_CRASH_POINT("copy.after_table");
}

}  // namespace tailrace::postgres
