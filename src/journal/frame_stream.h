#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "journal/chunk.h"
#include "journal/file.h"
#include "journal/frame.h"
#include "journal/segment_file.h"
#include "journal/tail.h"

namespace tailrace::journal {

/// Where a journal's files are, and how they are opened.
struct Store {
  Files& files;
  std::filesystem::path directory;
  bool direct;
};

/// The durable frames from a place on, out of memory while they are there, else from the segments. Owned by a reader;
/// one thread.
class FrameStream {
 public:
  FrameStream(const Store& store, Tail& tail, ChunkPool& chunks, Place start)
      : store_(store), tail_(tail), chunks_(chunks), at_(start) {}

  enum class Step {
    kFrame,
    /// Nothing more is durable.
    kEnd,
    /// The segment has been trimmed.
    kGone,
  };
  /// Throws CorruptionError at damage.
  Step next(Frame& out);
  /// What the frame given last points into.
  const ChunkPtr& pin() const { return pin_; }
  /// Behind the frame given last.
  Place place() const { return at_; }

 private:
  Step next_on_disk(std::uint64_t limit, Frame& out);
  /// False when the segment is no longer there.
  bool open_segment();

  const Store& store_;
  Tail& tail_;
  ChunkPool& chunks_;
  Place at_;
  /// Bytes in memory that begin at at_.
  ByteView memory_;
  /// How far the segment on disk may be read.
  std::uint64_t disk_limit_ = 0;
  std::unique_ptr<SegmentFile> file_;
  ChunkPtr pin_;
};

}  // namespace tailrace::journal
