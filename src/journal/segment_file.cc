#include "journal/segment_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace tailrace::journal {

namespace {

/// Of at least one byte.
bool all_zero(ByteView bytes) {
  return bytes.front() == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace

void throw_damage(Place place, const std::string& what) {
  throw CorruptionError(
      "TR401",
      fmt::format("the journal is damaged: {} at offset {}: {}", segment_name(place.segment), place.offset, what),
      "nothing was changed. `tailrace journal verify` lists the damage; restore the journal's directory from a copy, "
      "or "
      "remove it and let the tables be copied again");
}

SegmentFile::SegmentFile(Files& files, const std::filesystem::path& directory, std::uint64_t number, bool direct,
                         ChunkPool& chunks)
    : file_(files.open_to_read(directory / segment_name(number), direct)), chunks_(chunks) {
  record_.number = number;
  load(0, kBlock);
  const auto record = decode_segment_header({chunk_->data, static_cast<std::size_t>(end_)});
  if (!record || record->number != number || record->open_from > number) {
    throw_damage({number, 0}, "no valid segment header");
  }
  record_ = *record;
  seed_ = crc_seed(record_.salt);
  forget();
}

void SegmentFile::load(std::uint64_t offset, std::uint64_t limit) {
  begin_ = align_down(offset, kBlock);
  const std::uint64_t want = std::min<std::uint64_t>(align_up(limit, kBlock) - begin_, kChunk);
  chunk_ = chunks_.take();
  end_ = begin_ + file_->read_at(begin_, chunk_->data, want);
  end_ = std::max(std::min(end_, limit), begin_);
}

FrameCheck SegmentFile::read(std::uint64_t offset, std::uint64_t limit, Frame& out) {
  const Place place{record_.number, offset};
  if (offset < begin_ || offset >= end_) {
    if (offset >= limit) return FrameCheck::kIncomplete;
    load(offset, limit);
    if (offset >= end_) return FrameCheck::kIncomplete;
  }
  FrameCheck check = read_frame(loaded(offset), place, seed_, false, out);
  if (check == FrameCheck::kIncomplete && end_ < limit) {
    load(offset, limit);
    if (offset >= end_) return FrameCheck::kIncomplete;
    check = read_frame(loaded(offset), place, seed_, false, out);
  }
  return check;
}

bool SegmentFile::anything_behind(std::uint64_t offset) {
  const std::uint64_t size = file_->size();
  while (offset < size) {
    load(offset, size);
    if (offset >= end_) return false;
    if (!all_zero(loaded(offset))) return true;
    offset = end_;
  }
  return false;
}

std::optional<Frame> SegmentFile::proof_of_damage(std::uint64_t offset) {
  const std::uint64_t size = file_->size();
  const auto plausible = [offset](const FrameHeader& header, std::uint64_t at) {
    return header.type != 0 && header.type <= kLastFrameType && header.zero == 0 && header.length <= kMaxPayload &&
           header.synced_to > offset && header.synced_to <= at;
  };
  for (std::uint64_t at = align_up(offset, kFrameAlignment); at + kFrameHeader <= size; at += kFrameAlignment) {
    if (at < begin_ || at + kFrameHeader > end_) {
      load(at, size);
      if (at + kFrameHeader > end_) return std::nullopt;
    }
    // Most of a preallocated segment was never written. A header may still begin in the last bytes of such a block.
    if (at % kBlock == 0 && at + kBlock <= end_ && all_zero(loaded(at).substr(0, kBlock))) {
      at += kBlock - kFrameHeader;
      continue;
    }
    FrameHeader header;
    std::memcpy(&header, loaded(at).data(), sizeof(header));
    Frame frame;
    if (plausible(header, at) && read(at, size, frame) == FrameCheck::kValid) return frame;
  }
  return std::nullopt;
}

}  // namespace tailrace::journal
