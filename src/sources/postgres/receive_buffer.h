#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.h"

namespace tailrace::postgres {

/// One message of the server: its type byte and what follows its length.
struct BackendMessage {
  char type = 0;
  ByteView body;
};

/// Holds what was read from the server and cuts it into messages, in place and however it was fragmented
/// (PostgreSQL documentation, "Message Formats"). It grows once for a message that is larger, and shrinks back when
/// that is done. One thread.
class ReceiveBuffer {
 public:
  explicit ReceiveBuffer(std::size_t capacity = std::size_t{1} << 20);

  /// Where the next bytes go: at least `minimum` of them. Invalidates all views given out.
  struct Space {
    char* at = nullptr;
    std::size_t size = 0;
  };
  Space space(std::size_t minimum);
  void filled(std::size_t bytes) { end_ += bytes; }

  /// The next whole message, whose body lives until space() is called; nothing when more has to be read.
  /// Throws ReconnectError (TR130) on a length that PostgreSQL cannot send.
  std::optional<BackendMessage> next();
  std::size_t unread() const { return end_ - begin_; }
  std::size_t capacity() const { return capacity_; }

 private:
  void reallocate(std::size_t capacity);

  std::size_t normal_capacity_;
  std::size_t capacity_ = 0;
  std::unique_ptr<char[]> data_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  /// Whole size of the message that was found incomplete; 0 when unknown.
  std::size_t wanted_ = 0;
};

}  // namespace tailrace::postgres
