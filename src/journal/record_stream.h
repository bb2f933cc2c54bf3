#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/lsn.h"

namespace tailrace::journal {

/// What precedes each message of a transaction in progress, in memory and in adopted files.
struct SpillRecord {
  std::uint32_t sub_xid = 0;
  std::uint32_t length = 0;
};
static_assert(sizeof(SpillRecord) == 8);

/// Bytes and what keeps them alive.
struct Piece {
  ByteView bytes;
  std::shared_ptr<const void> pin;
};

/// Walks the messages of a spilled transaction, given its bytes piece by piece in order; a message that lies across
/// pieces is put together in memory of its own. One thread, one walk.
class RecordStream {
 public:
  /// Gives the next piece; nothing more when it is empty.
  using NextPiece = std::function<Piece()>;
  /// `directory`: where very long messages are put together.
  RecordStream(NextPiece next_piece, std::uint64_t stream_bytes, std::filesystem::path directory)
      : next_piece_(std::move(next_piece)), stream_bytes_(stream_bytes), directory_(std::move(directory)) {}

  struct Record {
    Xid sub_xid;
    ByteView message;
    /// Offset of the record in the stream.
    std::uint64_t offset = 0;
  };
  /// False at the end. Throws OutOfBytes when the stream ends inside a record.
  bool next(Record& out);
  /// What the record given last points into.
  const std::shared_ptr<const void>& pin() const { return own_ ? own_ : piece_.pin; }

 private:
  /// Hands over the next bytes, in parts.
  template <typename Use>
  void take(std::size_t size, Use use);

  NextPiece next_piece_;
  std::uint64_t stream_bytes_;
  std::filesystem::path directory_;
  std::uint64_t offset_ = 0;
  Piece piece_;
  std::shared_ptr<const void> own_;
};

}  // namespace tailrace::journal
