#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "journal/chunk.h"
#include "journal/frame_stream.h"
#include "journal/journal.h"
#include "journal/space.h"
#include "journal/tail.h"
#include "journal/writer.h"

namespace tailrace::journal {

/// The segments of the directory as their headers tell; the last one's end is not known yet (kFirstFrame). Throws
/// CorruptionError when one is missing in between or has no valid header.
std::vector<SegmentInfo> find_segments(const Store& store, ChunkPool& chunks);

/// What start-up finds on disk.
struct Recovered {
  std::vector<SegmentInfo> segments;
  /// Where the last segment's valid frames end. Meaningless without segments.
  std::uint64_t end = 0;
  /// The last segment holds something behind its end: it must not be written to again.
  bool cut = false;
  /// Number for the next file adopted in the last segment.
  std::uint32_t next_adopted = 1;
};

/// Reads every segment's header and the whole last segment, fills `ledger`, counts `space`, and removes what a crash
/// left over. Throws CorruptionError when what is missing or unreadable was durable.
Recovered recover(const Options& options, const Store& store, ChunkPool& chunks, Space& space, Ledger& ledger);

}  // namespace tailrace::journal
