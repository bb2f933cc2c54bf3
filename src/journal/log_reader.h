#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "journal/adopted_file.h"
#include "journal/batch_builder.h"
#include "journal/frame_stream.h"
#include "journal/long_message.h"
#include "journal/reader.h"
#include "journal/relations.h"
#include "journal/tail.h"

namespace tailrace::journal {

/// Finds the table descriptions among a transaction's frames, and puts long ones together. Part of a reader.
class RelationFrames {
 public:
  /// What this frame tells or completes; else nothing. Lives until the next call.
  std::optional<ByteView> take(FrameType type, ByteView payload);
  void clear() { long_.clear(); }

 private:
  /// What is there of a long one, from its first byte on.
  std::string long_;
};

/// The frames of the transaction that is being read, while they fit into a batch. Part of a reader.
class PendingTransaction {
 public:
  /// Voids what was there, and begins at `frame`.
  void begin(Place place) {
    clear();
    open_ = true;
    start_ = place;
  }
  void add(const Frame& frame, const ChunkPtr& pin);
  /// Keeps only the place where it began, and copies of what it says of tables.
  void drop_frames();
  void clear() {
    frames_.clear();
    pins_.clear();
    relations_.clear();
    described_.clear();
    bytes_ = 0;
    open_ = dropped_ = false;
  }

  bool open() const { return open_; }
  bool dropped() const { return dropped_; }
  std::uint64_t bytes() const { return bytes_; }
  Place start() const { return start_; }
  struct Held {
    FrameType type;
    ByteView payload;
    std::size_t pin;
  };
  const std::vector<Held>& frames() const { return frames_; }
  const ChunkPtr& pin(const Held& held) const { return pins_[held.pin]; }
  /// Teaches what it says of tables, when nothing else of it is wanted.
  void teach(Relations& relations) const;

 private:
  bool open_ = false;
  bool dropped_ = false;
  Place start_;
  std::uint64_t bytes_ = 0;
  std::vector<Held> frames_;
  std::vector<ChunkPtr> pins_;
  /// What it says of tables, once it was dropped.
  std::vector<std::string> relations_;
  RelationFrames described_;
};

/// Gives DATA, FRAGMENT and RELATION frames of one transaction to a batch, putting long messages together.
class FrameDecoder {
 public:
  /// `directory`: where very long messages are put together.
  explicit FrameDecoder(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// Gives one frame's messages, from `offset` in its payload on, until the batch is full; then it returns where to go
  /// on, else nothing.
  std::optional<std::size_t> give(FrameType type, ByteView payload, std::size_t offset, const ChunkPtr& pin,
                                  BatchBuilder& batch, const BatchLimits& limits);

 private:
  const std::filesystem::path directory_;
  std::shared_ptr<LongMessage> long_message_;
};

/// A transaction too large for a batch, read again from where it stands and given in parts. Part of a reader.
class Giant {
 public:
  virtual ~Giant() = default;
  /// Gives messages to `batch` until it is full or nothing is left.
  virtual void fill(BatchBuilder& batch, const BatchLimits& limits) = 0;
};

/// The reader of a journal on disk: frames to units, units to batches. A unit that was read and does not fit any more
/// begins the next batch. Owned as Reader is; `store`, `tail` and `chunks` outlive it.
class LogReader final : public Reader {
 public:
  LogReader(const Store& store, Tail& tail, ChunkPool& chunks, const Cursor& from, Place start);

  ChangeBatchPtr next(const BatchLimits& limits, std::stop_token stop, std::chrono::milliseconds max_wait) override;

 private:
  /// A unit that has been read and not yet given.
  struct Unit {
    Frame frame;
    ChunkPtr pin;
    LogState state;
  };
  /// Where it stood has been trimmed: goes on behind what was given, with the first segment that is left.
  void relocate();
  /// Takes one frame; sets held_ when it completes a unit to be given.
  void take(const Frame& frame, const BatchLimits& limits);
  void hold(const Frame& frame);
  /// Gives the held unit to the batch. False when the batch must be handed out first.
  bool give_held(BatchBuilder& batch, const BatchLimits& limits);
  bool give_transaction(BatchBuilder& batch, const BatchLimits& limits, const UnitRecord& unit);
  void give_message(BatchBuilder& batch, const UnitRecord& unit, ByteView message);
  void begin_giant(const UnitRecord& unit, std::unique_ptr<Giant> giant);
  ChangeBatchPtr giant_part(const BatchLimits& limits);

  const Store& store_;
  Tail& tail_;
  ChunkPool& chunks_;
  std::optional<FrameStream> frames_;
  Relations relations_;
  PendingTransaction pending_;
  /// Of a transaction that is not wanted.
  RelationFrames passed_;
  std::optional<Unit> held_;
  /// Behind the last frame read; what was given ends here when nothing is held.
  LogState read_;
  Position skip_to_;

  std::unique_ptr<Giant> giant_;
  Transaction giant_transaction_;
  LogState giant_end_;
  std::uint64_t giant_given_ = 0;
};

}  // namespace tailrace::journal
