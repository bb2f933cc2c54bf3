#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "journal/chunk.h"
#include "journal/file.h"
#include "journal/frame.h"

namespace tailrace::journal {

/// One segment, open for reading in large blocks. Every frame it gives has passed its CRC. Owned by one reader; one
/// thread. The file may be growing, or be removed meanwhile.
class SegmentFile {
 public:
  /// Throws CorruptionError when the file is missing or does not begin with a header of that number.
  SegmentFile(Files& files, const std::filesystem::path& directory, std::uint64_t number, bool direct,
              ChunkPool& chunks);

  const SegmentRecord& record() const { return record_; }

  /// The frame at `offset`, which lies wholly below `limit` (kIncomplete when it would not).
  FrameCheck read(std::uint64_t offset, std::uint64_t limit, Frame& out);
  /// What the frame given last points into.
  const ChunkPtr& pin() const { return chunk_; }
  /// Forgets what was read, because the file may have changed.
  void forget() { begin_ = end_ = 0; }

  /// Whether there is a byte other than zero at or behind `offset`.
  bool anything_behind(std::uint64_t offset);
  /// A valid frame behind `offset` that was written when `offset` was already durable: offset is damaged then.
  std::optional<Frame> proof_of_damage(std::uint64_t offset);

  std::uint64_t size() const { return file_->size(); }
  std::string name() const { return segment_name(record_.number); }

 private:
  /// Reads the block of `offset` and what follows into a new chunk.
  void load(std::uint64_t offset, std::uint64_t limit);
  ByteView loaded(std::uint64_t offset) const {
    return {chunk_->data + (offset - begin_), static_cast<std::size_t>(end_ - offset)};
  }

  std::unique_ptr<File> file_;
  ChunkPool& chunks_;
  SegmentRecord record_;
  std::uint32_t seed_ = 0;
  ChunkPtr chunk_;
  /// What of the file is in chunk_.
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

/// The error for a place that is damaged.
[[noreturn]] void throw_damage(Place place, const std::string& what);

}  // namespace tailrace::journal
