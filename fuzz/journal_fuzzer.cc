#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "base/error.h"
#include "files_in_memory.h"
#include "journal/format.h"
#include "journal/frame.h"
#include "journal/journal.h"

namespace tailrace::journal {
namespace {

/// An input is: a byte of flags, the SegmentRecord, 32 bits of length, that many bytes of frames, an adopted file.
/// With kRightSums the frames' checksums are mended first, so that what lies behind them is reached too. With kReserved
/// zeros follow, as in a segment that is not yet full.
enum Flags : std::uint8_t { kRightSums = 1, kWithAdopted = 2, kReserved = 4 };

constexpr std::uint64_t kNumber = 1;

Options options_on(FilesInMemory& files) {
  Options options;
  options.directory = "journal";
  options.spill_directory = "spill";
  options.segment_bytes = kMinSegment;
  options.max_bytes = 64ULL << 20;
  options.ring_bytes = 1 << 20;
  options.spill_memory = 1 << 20;
  options.direct_io = false;
  options.files = &files;
  return options;
}

void mend_sums(std::string& frames, std::uint32_t seed) {
  std::size_t at = 0;
  while (at + kFrameHeader <= frames.size()) {
    FrameHeader header;
    std::memcpy(&header, frames.data() + at, sizeof(header));
    if (header.type == 0 || header.length > kMaxPayload) return;
    // Zeros at the end of the last frame need not stand in the input.
    if (header.length > frames.size() - at - kFrameHeader) frames.resize(at + kFrameHeader + header.length);
    const ByteView payload(frames.data() + at + kFrameHeader, header.length);
    header.crc = frame_crc(seed, kFirstFrame + at, header, payload);
    std::memcpy(frames.data() + at, &header, sizeof(header));
    at += frame_bytes(header.length);
  }
}

/// Lays the input out as files. False when it is too short to say anything.
bool lay_out(ByteView input, FilesInMemory& files) {
  ByteReader in(input);
  SegmentRecord record;
  if (in.left() < 1 + sizeof(record) + 4) return false;
  const std::uint8_t flags = in.u8();
  std::memcpy(&record, in.bytes(sizeof(record)).data(), sizeof(record));
  std::memcpy(record.magic, kSegmentMagic.data(), sizeof(record.magic));
  record.version = kFormatVersion;
  record.number = kNumber;
  const std::size_t length = std::min<std::size_t>(in.le32(), in.left());
  std::string frames(in.bytes(length));
  if ((flags & kRightSums) != 0) mend_sums(frames, crc_seed(record.salt));
  std::string& segment = files.content(std::filesystem::path("journal") / segment_name(kNumber));
  segment = encode_segment_header(record);
  segment.resize(kFirstFrame);
  segment += frames;
  segment.resize(align_up(segment.size(), kBlock) + ((flags & kReserved) != 0 ? kReservedZeros : 0));
  if ((flags & kWithAdopted) != 0) {
    std::string& adopted = files.content(std::filesystem::path("journal") / adopted_name(kNumber, 1));
    adopted = in.rest();
    adopted.resize(align_up(adopted.size(), kBlock));
  }
  return true;
}

void read_all(Journal& journal) {
  BatchLimits limits;
  limits.max_changes = 100;
  limits.max_bytes = 4096;
  const auto reader = journal.reader(std::nullopt);
  std::size_t sum = 0;
  while (const auto batch = reader->next(limits, {}, std::chrono::milliseconds(0))) {
    for (const Change& change : batch->changes) sum += change.old_row.bytes().size() + change.new_row.bytes().size();
  }
  // Keeps the loop from being removed.
  if (sum == SIZE_MAX) __builtin_trap();
}

/// What recovery lets through can be written to, and is accepted again.
void write_on(FilesInMemory& files) {
  Position written;
  {
    const auto journal = Journal::open(options_on(files));
    const std::uint64_t end = journal->end().commit_end.value();
    if (end > UINT64_MAX - 8) return;
    journal->progress(Lsn(end + 8));
    journal->sync();
    written = journal->end();
  }
  if (Journal::open(options_on(files))->end() != written) __builtin_trap();
}

}  // namespace
}  // namespace tailrace::journal

/// A journal of any bytes is recovered and read, or its damage is named; nothing else may come out.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tailrace::journal;
  FilesInMemory files;
  if (!lay_out({reinterpret_cast<const char*>(data), size}, files)) return 0;
  try {
    read_all(*Journal::open(options_on(files)));
  } catch (const tailrace::CorruptionError&) {
    return 0;
  } catch (const tailrace::BadConfigError&) {
    return 0;
  }
  write_on(files);
  return 0;
}
