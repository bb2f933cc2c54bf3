#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/file_bytes.h"

namespace tailrace::postgres {

/// One message of the server: its type byte and what follows its length.
struct BackendMessage {
  char type = 0;
  ByteView body;
};

/// Holds what was read from the server and cuts it into messages, in place and however it was fragmented
/// (PostgreSQL documentation, "Message Formats"). It grows once for a message that is larger, and shrinks back when
/// that is done; a long one is put together in a file, of which nearly nothing is in memory. One
/// thread.
class ReceiveBuffer {
 public:
  /// `long_directory`: where messages of `long_from` bytes and more lie; empty: in memory, too.
  explicit ReceiveBuffer(std::size_t capacity = std::size_t{1} << 20, std::filesystem::path long_directory = {},
                         std::size_t long_from = long_bytes());

  /// Where the next bytes go: at least `minimum` of them, but of a long message no more than are missing; when it is
  /// whole, and next() has not given it yet, none. Invalidates all views given out.
  struct Space {
    char* at = nullptr;
    std::size_t size = 0;
  };
  Space space(std::size_t minimum);
  void filled(std::size_t bytes);

  /// The next whole message, whose body lives until space() is called; nothing when more has to be read.
  /// Throws ReconnectError (TR130) on a length that PostgreSQL cannot send, RetryError (TR404) when there is no room
  /// for a long message: call again before space().
  std::optional<BackendMessage> next();
  std::size_t unread() const { return end_ - begin_; }
  std::size_t capacity() const { return capacity_; }

 private:
  void reallocate(std::size_t capacity);
  void begin_long(std::size_t size);

  std::size_t normal_capacity_;
  std::size_t capacity_ = 0;
  std::unique_ptr<char[]> data_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  /// Whole size of the message that was found incomplete; 0 when unknown.
  std::size_t wanted_ = 0;

  const std::filesystem::path long_directory_;
  const std::size_t long_from_;
  /// The long message under way, how much of it is there, and how much of that was let go of.
  std::unique_ptr<FileBytes> long_;
  std::size_t long_filled_ = 0;
  std::size_t long_let_go_ = 0;
  bool long_given_ = false;
};

}  // namespace tailrace::postgres
