#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "journal/format.h"
#include "model/change_batch.h"
#include "model/transaction_log.h"

namespace tailrace::journal {

/// A place in the journal's files.
struct Place {
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;
  auto operator<=>(const Place&) const = default;
};

/// Where the log stands behind a unit: what the next one continues.
struct LogState {
  Position end;
  /// The greatest seq given so far.
  Seq seq;
  PgTime commit_time;
  PgTime monotone_time;

  Cursor cursor() const { return {end, seq, commit_time}; }
};

/// A checked frame. Its payload belongs to the bytes it was read from.
struct Frame {
  FrameType type = FrameType::kData;
  bool starts_transaction = false;
  std::uint32_t synced_to = 0;
  Place place;
  ByteView payload;

  /// Offset behind the frame.
  std::uint64_t end() const { return place.offset + frame_bytes(payload.size()); }
};

/// What every CRC of a segment begins with; frames of another segment or offset then do not pass.
std::uint32_t crc_seed(std::uint64_t salt);
/// CRC of a frame whose header (but for the CRC itself) is given.
std::uint32_t frame_crc(std::uint32_t seed, std::uint64_t offset, const FrameHeader& header, ByteView payload);

/// What bytes are that may begin with a frame.
enum class FrameCheck {
  kValid,
  /// It may be valid, but the bytes end before it does.
  kIncomplete,
  kInvalid,
};
/// Reads the frame that begins `bytes`, which lie at `place`. With `trusted` the CRC is not computed (bytes of our own
/// memory).
FrameCheck read_frame(ByteView bytes, Place place, std::uint32_t seed, bool trusted, Frame& out);

/// The header frame of a segment, as it stands in its first block.
std::string encode_segment_header(const SegmentRecord& record);
/// Nothing when the first block's bytes hold no header of ours. Throws BadConfigError for a newer format's.
std::optional<SegmentRecord> decode_segment_header(ByteView block);
SegmentRecord make_segment_record(const LogState& state);
LogState state_of(const SegmentRecord& record);

/// Copies a fixed record from the front of a payload and removes it there. Throws OutOfBytes.
template <typename Record>
Record take_record(ByteView& payload) {
  if (payload.size() < sizeof(Record)) throw OutOfBytes();
  Record record;
  std::memcpy(&record, payload.data(), sizeof(Record));
  payload.remove_prefix(sizeof(Record));
  return record;
}
template <typename Record>
ByteView record_bytes(const Record& record) {
  return {reinterpret_cast<const char*>(&record), sizeof(Record)};
}

/// The state behind a COMMIT, ADOPT, MESSAGE, PROGRESS or EPOCH frame, given the state before; other frames change
/// nothing. Throws OutOfBytes when the payload is too short.
LogState state_after(const LogState& before, const Frame& frame);
/// The unit as the batch shows it, whole.
Transaction transaction_of(const UnitRecord& unit);

/// Names of the files in the journal's directory.
std::string segment_name(std::uint64_t number);
std::string adopted_name(std::uint64_t segment, std::uint32_t number);
/// A segment's number, when that is what the name is.
std::optional<std::uint64_t> parse_segment_name(const std::string& name);
/// The segment an adopted file belongs to, when that is what the name is.
std::optional<std::uint64_t> parse_adopted_name(const std::string& name);

}  // namespace tailrace::journal
