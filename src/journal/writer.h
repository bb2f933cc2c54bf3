#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "journal/chunk.h"
#include "journal/file.h"
#include "journal/frame.h"
#include "journal/history.h"
#include "journal/space.h"
#include "journal/tail.h"

namespace tailrace::journal {

/// What has been appended so far, durable or not, as new segments must state it. Source thread only.
struct Ledger {
  LogState state;
  History history;
  /// Segment in which the open transaction's first frame stands.
  std::optional<std::uint64_t> open_from;
};

/// Builds frames in memory, writes them to the last segment, makes them durable and starts new segments.
/// Owned by the journal; source thread only. A call that throws RetryError has changed nothing and may be repeated.
/// After a CorruptionError every further call throws: the journal has to be opened again.
class Writer {
 public:
  struct Setting {
    Files& files;
    std::filesystem::path directory;
    std::uint64_t segment_bytes;
    bool direct;
  };
  Writer(Setting setting, ChunkPool& chunks, Space& space, Tail& tail, const Ledger& ledger)
      : setting_(std::move(setting)), chunks_(chunks), space_(space), tail_(tail), ledger_(ledger) {}

  /// Begins the segment `number`, whatever the size limit; the one before ends at `previous_end`.
  void start(std::uint64_t number, std::uint64_t previous_end);
  /// Goes on at `end` of a segment that ends cleanly there.
  void resume(const SegmentRecord& record, std::uint64_t end);

  std::uint64_t segment() const { return record_.number; }
  /// Throws when the journal has failed.
  void check() const;

  /// Appends one length and message to the open DATA frame when there is one with room for it.
  bool try_data(ByteView message) {
    const std::size_t need = sizeof(std::uint32_t) + message.size();
    if (need > room_) return false;
    put_data(message);
    return true;
  }
  /// Opens a DATA frame with room for a message of that size; may start a new segment.
  void begin_data(std::size_t message_bytes, bool starts_transaction);
  /// Makes sure that the next frame with that payload stands in the segment that is now the last.
  void reserve(std::size_t payload_bytes);
  /// A whole frame whose payload is the parts one after the other.
  void frame(FrameType type, bool starts_transaction, std::initializer_list<ByteView> parts);

  /// Makes everything durable and shows it to readers.
  void sync();
  std::uint64_t unsynced_bytes() const { return at_ - synced_; }
  /// Since the journal was opened; any thread.
  std::uint64_t syncs() const { return syncs_; }
  std::uint64_t synced_bytes() const { return synced_bytes_; }

 private:
  char* memory(std::uint64_t offset) const { return chunk_->data + (offset - base_); }
  void put_data(ByteView message) {
    const auto length = static_cast<std::uint32_t>(message.size());
    char* to = memory(at_);
    std::memcpy(to, &length, sizeof(length));
    std::memcpy(to + sizeof(length), message.data(), message.size());
    at_ += sizeof(length) + message.size();
    room_ -= sizeof(length) + message.size();
  }
  /// Closes the open DATA frame, if any.
  void close_data();
  void seal_frame(std::uint64_t begin, std::uint64_t payload_bytes, FrameType type, bool starts_transaction);
  /// Makes room for a frame of that many bytes behind the closed ones.
  void make_room(std::size_t bytes);
  void next_chunk();
  void roll();
  /// A new segment file, header and history durable, not yet known to anyone. Gives where its frames end.
  struct Begun {
    std::unique_ptr<File> file;
    SegmentRecord record;
    ChunkPtr chunk;
    std::uint64_t end = 0;
  };
  Begun begin_segment(std::uint64_t number, std::uint64_t previous_end, const LogState& state);
  void fill_segment(Begun& begun, const std::filesystem::path& fresh, const LogState& state);
  void continue_in(Begun begun);
  void write_out();
  void sync_file();
  /// The device failed: makes void what is not known to be durable, as far as that is still possible.
  void give_up();
  ChunkSpan span() const { return {chunk_, record_.number, base_, begin_, closed_}; }

  const Setting setting_;
  ChunkPool& chunks_;
  Space& space_;
  Tail& tail_;
  const Ledger& ledger_;

  std::unique_ptr<File> file_;
  SegmentRecord record_;
  std::uint32_t seed_ = 0;
  ChunkPtr chunk_;
  /// Chunks that are full, written, and not yet durable.
  std::vector<ChunkSpan> full_;

  // Offsets in the file: the chunk's first byte, its first frame, the end of closed frames, the next byte, what has
  // been written, what is durable.
  std::uint64_t base_ = 0;
  std::uint64_t begin_ = 0;
  std::uint64_t closed_ = 0;
  std::uint64_t at_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t synced_ = 0;
  /// How much the open DATA frame still takes; 0 when none is open.
  std::size_t room_ = 0;
  bool data_open_ = false;
  bool data_starts_ = false;

  LogState durable_;
  bool failed_ = false;

  // Any thread.
  std::atomic<std::uint64_t> syncs_{0};
  std::atomic<std::uint64_t> synced_bytes_{0};
};

}  // namespace tailrace::journal
