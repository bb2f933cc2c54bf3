#include "sources/postgres/snapshot_copy.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include "base/crash_point.h"
#include "base/error.h"
#include "sources/postgres/catalog.h"
#include "sources/postgres/connection.h"
#include "sources/postgres/copy_reader.h"
#include "sources/postgres/fence.h"
#include "sources/postgres/publication.h"
#include "sources/postgres/standby.h"

namespace tailrace::postgres {
namespace {

constexpr std::uint64_t kSmallestChunk = 1024;
constexpr std::uint64_t kLargestChunk = 16384;
constexpr std::uint64_t kChunksPerReader = 8;
/// Of one statement.
constexpr std::size_t kKeysAtOnce = 500;
/// The server finds page ranges without reading the rest of the table from this version on.
constexpr int kTidRangeVersion = 140000;

/// Hands out the chunks of one table to its readers.
class ChunkPlan {
 public:
  ChunkPlan(const TableToCopy& table, std::string snapshot_name, std::uint64_t pages, int readers) {
    const std::uint64_t even = pages / (static_cast<std::uint64_t>(readers) * kChunksPerReader);
    const std::uint64_t largest = bound_or_tested("COPY_CHUNK_PAGES", kLargestChunk);
    const std::uint64_t size = std::clamp(even, std::min(kSmallestChunk, largest), largest);
    CopyChunk chunk;
    chunk.snapshot_name = std::move(snapshot_name);
    chunk.table = &table;
    chunk.whole = table.done.empty() && pages <= size;
    for (const PageRange& range : pages_besides(table.done, pages)) {
      for (chunk.first_page = range.first; chunk.first_page < range.end; chunk.first_page = chunk.end_page) {
        chunk.end_page = chunk.whole ? range.end : std::min(chunk.first_page + size, range.end);
        chunks_.push_back(chunk);
      }
    }
    if (chunks_.empty()) {
      chunk.first_page = chunk.end_page = pages;
      chunks_.push_back(chunk);
    }
    // All that the snapshot sees lies in pages that were there when it was taken, so this finds nothing behind them.
    chunks_.back().open_end = table.done.empty();
  }

  std::uint64_t count() const { return chunks_.size(); }

  /// False when all have been given.
  bool next(CopyChunk& chunk) {
    const std::lock_guard lock(mutex_);
    if (given_ == chunks_.size()) return false;
    chunk = chunks_[given_++];
    return true;
  }

 private:
  std::vector<CopyChunk> chunks_;
  std::mutex mutex_;
  std::size_t given_ = 0;
};

/// Takes chunks until there are none. False when stopped.
bool read_chunks(CopyReader& reader, ChunkPlan& plan, const RelationPtr& relation, RowReceiver& receiver,
                 CopyProgress& progress, const std::stop_token& stop) {
  reader.begin_table(relation);
  CopyChunk chunk;
  while (plan.next(chunk)) {
    if (!reader.read(chunk, receiver, progress, stop)) return false;
    progress.pages_done += chunk.end_page - chunk.first_page;
    if (chunk.whole || chunk.first_page == chunk.end_page) continue;
    reader.flush(receiver, progress, stop);
    receiver.range_done({chunk.first_page, chunk.end_page});
  }
  reader.flush(receiver, progress, stop);
  if (stop.stop_requested()) return false;
  receiver.finish();
  return true;
}

}  // namespace

std::vector<TableToCopy> tables_to_copy(Connection& sql, Catalog& catalog, Lsn as_of, const SourceSpec& spec,
                                        const std::vector<sources::TableName>& only) {
  const bool all_told = publishes_all_changes(sql, spec.publication) && !at_standby(sql);
  std::vector<TableToCopy> tables;
  for (const PublishedTable& table : catalog.published_tables(existing_publications(sql, spec), spec.tables)) {
    if (!only.empty() && std::ranges::find(only, sources::TableName(table.schema, table.name)) == only.end()) continue;
    TableToCopy wanted{catalog.describe(table, as_of), table.estimated_rows, table.pages, table.row_filter,
                       table.kind == 'p'};
    wanted.resumable = all_told && !wanted.partitioned && wanted.row_filter.empty() &&
                       !wanted.relation->match_key().empty() && wanted.relation->storage != 0;
    tables.push_back(std::move(wanted));
  }
  return tables;
}

SnapshotCopy::SnapshotCopy(SourceSpec spec, std::unique_ptr<Connection> holder, std::string snapshot_name, Fence fence,
                           std::vector<TableToCopy> tables, std::filesystem::path scratch_directory)
    : spec_(std::move(spec)),
      pace_(static_cast<std::uint64_t>(spec_.copy_rows_per_second), ServerLoad::make(spec_)),
      holder_(std::move(holder)),
      snapshot_name_(std::move(snapshot_name)),
      fence_(std::move(fence)),
      tables_(std::move(tables)),
      scratch_directory_(std::move(scratch_directory)) {}

SnapshotCopy::~SnapshotCopy() = default;

std::uint64_t SnapshotCopy::pages_now(const TableToCopy& table) {
  const Rows rows = holder_->query("SELECT pg_relation_size($1::oid) / current_setting('block_size')::int",
                                   {std::to_string(table.relation->oid.value())}, "looking at a table's size");
  return rows.unsigned_number(0, 0);
}

CopyReader& SnapshotCopy::reader(std::unique_ptr<CopyReader>& place, const std::stop_token& stop) {
  if (!place)
    place =
        std::make_unique<CopyReader>(Connection::open(spec_, ConnectionKind::kSql, stop), pace_, scratch_directory_);
  return *place;
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
      CopyReader& ready = this->reader(reader, stop_all.get_token());
      const std::unique_ptr<RowReceiver> receiver = make_receiver();
      if (!read_chunks(ready, plan, table.relation, *receiver, progress, stop_all.get_token())) reader.reset();
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

void SnapshotCopy::copy_keys(const TableToCopy& table, const std::vector<std::string>& keys, RowReceiver& receiver,
                             CopyProgress& progress, std::stop_token stop) {
  readers_.resize(std::max(readers_.size(), std::size_t{1}));
  CopyReader& ready = reader(readers_.front(), stop);
  ready.begin_table(table.relation);
  CopyChunk chunk;
  chunk.snapshot_name = snapshot_name_;
  chunk.table = &table;
  chunk.whole = true;
  for (std::size_t from = 0; from < keys.size(); from += kKeysAtOnce) {
    const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = begin + static_cast<std::ptrdiff_t>(std::min(kKeysAtOnce, keys.size() - from));
    chunk.condition = keys_condition(*holder_, *table.relation, {begin, end});
    try {
      if (ready.read(chunk, receiver, progress, stop)) continue;
    } catch (const Error&) {
      readers_.front().reset();
      throw;
    }
    readers_.front().reset();
    return;
  }
  ready.flush(receiver, progress, stop);
  receiver.finish();
}

}  // namespace tailrace::postgres
