#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

/// Constants and fixed records of the journal's files. What they mean is told on one page: docs/journal-format.md.
namespace tailrace::journal {

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr ByteView kSegmentMagic = "TAILRSEG";
inline constexpr ByteView kFooterMagic = "TAILRTXN";

/// Unit of direct I/O: file offsets, lengths and memory addresses are multiples of it.
inline constexpr std::size_t kBlock = 4096;
/// The segment header has the first block for itself, so it is never written again.
inline constexpr std::uint64_t kFirstFrame = kBlock;
inline constexpr std::size_t kFrameHeader = 16;
inline constexpr std::size_t kFrameAlignment = 8;
/// A DATA frame is closed when it would grow beyond this, unless a single message is longer.
inline constexpr std::size_t kDataPayload = 64 << 10;
/// Messages longer than this are cut into FRAGMENT frames of at most this size.
inline constexpr std::size_t kFragmentBytes = 256 << 10;
/// How a message begins that is an encoded Relation too long for one frame.
inline constexpr char kLongRelation = 'R';
inline constexpr std::size_t kMaxPayload = 512 << 10;
/// An adopted file is checked in blocks of this size.
inline constexpr std::size_t kStreamBlock = 1 << 20;
inline constexpr std::uint64_t kMinSegment = 2ULL << 20;
inline constexpr std::uint64_t kMaxSegment = 2ULL << 30;

/// What a frame holds.
enum class FrameType : std::uint8_t {
  kSegment = 1,
  kData = 2,
  kFragment = 3,
  kRelation = 4,
  kCommit = 5,
  kAdopt = 6,
  kMessage = 7,
  kProgress = 8,
  kEpoch = 9,
  kHistory = 10,
};
inline constexpr std::uint8_t kLastFrameType = 10;

/// The first frame of a transaction: whatever an earlier one left without COMMIT is void.
inline constexpr std::uint8_t kStartsTransaction = 1;

/// All records are little-endian and lie in the file as in memory.
struct FrameHeader {
  std::uint32_t crc = 0;
  std::uint32_t length = 0;
  std::uint32_t synced_to = 0;
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::uint16_t zero = 0;
};
static_assert(sizeof(FrameHeader) == kFrameHeader);

/// A unit's place and counts: payload of COMMIT (then the origin's name), ADOPT (then AdoptRecord and the origin's
/// name) and MESSAGE (then the message).
struct UnitRecord {
  std::uint64_t commit_end = 0;
  std::uint64_t commit_lsn = 0;
  std::int64_t commit_time = 0;
  std::int64_t monotone_time = 0;
  std::uint64_t seq = 0;
  std::uint64_t changes = 0;
  /// Messages' bytes, without their lengths.
  std::uint64_t bytes = 0;
  std::uint32_t epoch = 0;
  std::uint32_t xid = 0;
};
static_assert(sizeof(UnitRecord) == 64);

/// The file of an adopted transaction: follows the UnitRecord in ADOPT.
struct AdoptRecord {
  std::uint64_t stream_bytes = 0;
  std::uint32_t file_number = 0;
  std::uint32_t footer_bytes = 0;
  std::uint32_t footer_crc = 0;
  std::uint32_t zero = 0;
};
static_assert(sizeof(AdoptRecord) == 24);

/// Payload of PROGRESS and EPOCH.
struct PlaceRecord {
  std::uint64_t lsn = 0;
  std::uint32_t epoch = 0;
  std::uint32_t zero = 0;
};
static_assert(sizeof(PlaceRecord) == 16);

/// Payload of SEGMENT: where the log stood when the segment began.
struct SegmentRecord {
  char magic[8] = {};
  std::uint32_t version = 0;
  std::uint32_t epoch = 0;
  std::uint64_t number = 0;
  std::uint64_t salt = 0;
  /// Where the segment before ends: what it holds from there on is void. 0 in the first segment.
  std::uint64_t previous_end = 0;
  /// The segment in which the transaction that was open began; this one when none was.
  std::uint64_t open_from = 0;
  std::uint64_t commit_end = 0;
  std::uint64_t ordinal = 0;
  /// The greatest seq given to a change.
  std::uint64_t seq = 0;
  std::int64_t commit_time = 0;
  std::int64_t monotone_time = 0;
  /// Wall clock, for retention's `keep` only.
  std::int64_t created = 0;
  /// Preallocated size of the file.
  std::uint64_t size = 0;
};
static_assert(sizeof(SegmentRecord) == 104);

/// One remembered commit in HISTORY.
struct HistoryRecord {
  std::uint64_t commit_end = 0;
  std::int64_t commit_time = 0;
  std::uint64_t changes = 0;
  std::uint32_t epoch = 0;
  std::uint32_t xid = 0;
};
static_assert(sizeof(HistoryRecord) == 32);

constexpr std::uint64_t align_up(std::uint64_t n, std::uint64_t to) { return (n + to - 1) / to * to; }
constexpr std::uint64_t align_down(std::uint64_t n, std::uint64_t to) { return n / to * to; }
/// What a frame with that payload takes in the file.
constexpr std::size_t frame_bytes(std::size_t payload) { return align_up(kFrameHeader + payload, kFrameAlignment); }

}  // namespace tailrace::journal
