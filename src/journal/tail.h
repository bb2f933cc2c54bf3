#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/time.h"
#include "journal/chunk.h"
#include "journal/frame.h"

namespace tailrace::journal {

/// What is known of a segment without reading it.
struct SegmentInfo {
  SegmentRecord record;
  /// Where its frames end; of the last segment, what of it is durable.
  std::uint64_t end = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t adopted_bytes = 0;
  std::uint64_t adopted_files = 0;
};

/// A part of a segment in memory.
struct ChunkSpan {
  ChunkPtr chunk;
  std::uint64_t segment = 0;
  /// Offset in the file of the chunk's first byte, of the first whole frame in it, and behind the last.
  std::uint64_t base = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// What the writer and the readers share: which segments there are, what of them is durable, and the bytes that became
/// so last, in memory. The writer never waits for readers. Any thread.
class Tail {
 public:
  explicit Tail(std::uint64_t ring_bytes) : ring_chunks_(std::max<std::uint64_t>(ring_bytes / kChunk, 1)) {}

  /// The segments found at start-up, then each new one, durable up to `end`. The one before ends at `previous_end`.
  void add_segment(const SegmentInfo& segment, std::uint64_t previous_end);
  /// Everything up to span.end of span.segment is durable and readable.
  void publish(const ChunkSpan& span, const LogState& state);
  void set_durable(const LogState& state);
  /// The last segment is readable up to `end`, from disk.
  void extend(std::uint64_t end, const LogState& state);
  /// The file of that segment takes no more than that.
  void shrink(std::uint64_t segment, std::uint64_t file_bytes);
  void count_adopted(std::uint64_t segment, std::uint64_t bytes);

  /// Where `place` is to be read.
  struct Look {
    enum class Kind { kNothingYet, kMemory, kDisk, kNextSegment, kGone } kind = Kind::kNothingYet;
    /// kMemory: the bytes from `place` to the durable end, and what keeps them.
    ChunkPtr chunk;
    ByteView bytes;
    /// kDisk: frames are readable up to here.
    std::uint64_t limit = 0;
  };
  Look look(Place place) const;
  /// Waits until something behind `place` is readable. False on time-out or stop.
  bool wait_behind(Place place, std::stop_token stop, SteadyClock::time_point deadline) const;

  /// Where reading must begin to see all units behind `from`; the oldest when there is none. Nothing when some of them
  /// have been trimmed.
  std::optional<Place> find(const std::optional<Position>& from) const;
  /// The oldest state behind which everything is readable.
  LogState start() const;
  LogState durable() const;
  std::vector<SegmentInfo> segments() const;
  /// Removes and gives the segments that lie wholly below `oldest_needed`, oldest first: those finished before
  /// `finished_before`, and more while what was given is less than `at_least` bytes.
  std::vector<SegmentInfo> drop(const Position& oldest_needed, PgTime finished_before, std::uint64_t at_least);

 private:
  /// Index of the first segment needed by units behind `from`. REQUIRES: segments_ is not empty; the lock is held.
  std::size_t first_needed(const Position& from) const;

  const std::uint64_t ring_chunks_;
  mutable std::mutex mutex_;
  mutable std::condition_variable_any published_;
  // Guarded by mutex_:
  std::deque<SegmentInfo> segments_;
  std::deque<ChunkSpan> ring_;
  LogState durable_;
};

}  // namespace tailrace::journal
