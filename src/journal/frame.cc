#include "journal/frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/crc32c.h"
#include "base/error.h"

namespace tailrace::journal {

std::uint32_t crc_seed(std::uint64_t salt) { return crc32c(record_bytes(salt)); }

std::uint32_t frame_crc(std::uint32_t seed, std::uint64_t offset, const FrameHeader& header, ByteView payload) {
  char prefix[sizeof(offset) + kFrameHeader - sizeof(header.crc)];
  std::memcpy(prefix, &offset, sizeof(offset));
  std::memcpy(prefix + sizeof(offset), record_bytes(header).data() + sizeof(header.crc),
              kFrameHeader - sizeof(header.crc));
  return crc32c(payload, crc32c({prefix, sizeof(prefix)}, seed));
}

FrameCheck read_frame(ByteView bytes, Place place, std::uint32_t seed, bool trusted, Frame& out) {
  if (bytes.size() < kFrameHeader) return FrameCheck::kIncomplete;
  FrameHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.type == 0 || header.type > kLastFrameType || header.zero != 0 || header.length > kMaxPayload ||
      header.synced_to > place.offset)
    return FrameCheck::kInvalid;
  if (bytes.size() < frame_bytes(header.length)) return FrameCheck::kIncomplete;
  const ByteView payload = bytes.substr(kFrameHeader, header.length);
  if (!trusted && frame_crc(seed, place.offset, header, payload) != header.crc) return FrameCheck::kInvalid;
  out.type = static_cast<FrameType>(header.type);
  out.starts_transaction = (header.flags & kStartsTransaction) != 0;
  out.synced_to = header.synced_to;
  out.place = place;
  out.payload = payload;
  return FrameCheck::kValid;
}

std::string encode_segment_header(const SegmentRecord& record) {
  FrameHeader header;
  header.type = static_cast<std::uint8_t>(FrameType::kSegment);
  header.length = sizeof(record);
  header.crc = frame_crc(crc_seed(0), 0, header, record_bytes(record));
  std::string block(record_bytes(header));
  block.append(record_bytes(record));
  block.resize(kBlock);
  return block;
}

std::optional<SegmentRecord> decode_segment_header(ByteView block) {
  Frame frame;
  if (read_frame(block, Place{}, crc_seed(0), false, frame) != FrameCheck::kValid) return std::nullopt;
  if (frame.type != FrameType::kSegment || frame.payload.size() < sizeof(SegmentRecord)) return std::nullopt;
  const auto record = take_record<SegmentRecord>(frame.payload);
  if (ByteView(record.magic, sizeof(record.magic)) != kSegmentMagic) return std::nullopt;
  if (record.version != kFormatVersion) {
    throw BadConfigError(
        "TR407", fmt::format("the journal's format is {}, this program reads {}", record.version, kFormatVersion),
        "use the version of Tailrace that wrote it");
  }
  return record;
}

SegmentRecord make_segment_record(const LogState& state) {
  SegmentRecord record;
  std::ranges::copy(kSegmentMagic, record.magic);
  record.version = kFormatVersion;
  record.epoch = state.end.epoch;
  record.commit_end = state.end.commit_end.value();
  record.ordinal = state.end.ordinal;
  record.seq = state.seq.value();
  record.commit_time = state.commit_time.micros();
  record.monotone_time = state.monotone_time.micros();
  return record;
}

LogState state_of(const SegmentRecord& record) {
  return {{record.epoch, Lsn(record.commit_end), record.ordinal},
          Seq(record.seq),
          PgTime(record.commit_time),
          PgTime(record.monotone_time)};
}

LogState state_after(const LogState& before, const Frame& frame) {
  ByteView payload = frame.payload;
  switch (frame.type) {
    case FrameType::kCommit:
    case FrameType::kAdopt:
    case FrameType::kMessage: {
      const auto unit = take_record<UnitRecord>(payload);
      return {{unit.epoch, Lsn(unit.commit_end), unit.changes},
              Seq(unit.seq + std::max<std::uint64_t>(unit.changes, 1) - 1),
              PgTime(unit.commit_time),
              PgTime(unit.monotone_time)};
    }
    case FrameType::kProgress:
    case FrameType::kEpoch: {
      const auto place = take_record<PlaceRecord>(payload);
      LogState after = before;
      after.end = {place.epoch, Lsn(place.lsn), 0};
      return after;
    }
    default: return before;
  }
}

Transaction transaction_of(const UnitRecord& unit) {
  Transaction transaction;
  transaction.epoch = unit.epoch;
  transaction.commit_lsn = Lsn(unit.commit_lsn);
  transaction.commit_end = Lsn(unit.commit_end);
  transaction.xid = Xid(unit.xid);
  transaction.commit_time = PgTime(unit.commit_time);
  transaction.monotone_time = PgTime(unit.monotone_time);
  transaction.seq = Seq(unit.seq);
  transaction.changes = unit.changes;
  return transaction;
}

namespace {

constexpr std::size_t kDigits = 10;

std::optional<std::uint64_t> digits(ByteView text) {
  std::uint64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::string segment_name(std::uint64_t number) { return fmt::format("{:010}.seg", number); }

std::string adopted_name(std::uint64_t segment, std::uint32_t number) {
  return fmt::format("{:010}-{:06}.txn", segment, number);
}

std::optional<std::uint64_t> parse_segment_name(const std::string& name) {
  if (!name.ends_with(".seg")) return std::nullopt;
  return digits(ByteView(name).substr(0, name.size() - 4));
}

std::optional<std::uint64_t> parse_adopted_name(const std::string& name) {
  if (!name.ends_with(".txn") || name.size() < kDigits + 5 || name[kDigits] != '-') return std::nullopt;
  return digits(ByteView(name).substr(0, kDigits));
}

}  // namespace tailrace::journal
