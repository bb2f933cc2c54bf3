#include "sources/postgres/receive_buffer.h"

#include <algorithm>

#include "base/error.h"

namespace tailrace::postgres {
namespace {

constexpr std::size_t kHeader = 5;
/// A field is below 1 GiB, a message with its overhead below 2 GiB.
constexpr std::size_t kLongestMessage = 0x7fffffff;

}  // namespace

ReceiveBuffer::ReceiveBuffer(std::size_t capacity) : normal_capacity_(capacity) { reallocate(capacity); }

void ReceiveBuffer::reallocate(std::size_t capacity) {
  auto data = std::make_unique_for_overwrite<char[]>(capacity);
  if (end_ > begin_) std::memcpy(data.get(), data_.get() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  data_ = std::move(data);
  capacity_ = capacity;
}

ReceiveBuffer::Space ReceiveBuffer::space(std::size_t minimum) {
  if (begin_ == end_) begin_ = end_ = 0;
  const std::size_t kept = end_ - begin_;
  const std::size_t needed = std::max({kept + minimum, wanted_, normal_capacity_});
  if (needed > capacity_ || (capacity_ > normal_capacity_ && needed == normal_capacity_)) {
    reallocate(needed);
  } else if (capacity_ - end_ < minimum || capacity_ - begin_ < wanted_) {
    std::memmove(data_.get(), data_.get() + begin_, kept);
    begin_ = 0;
    end_ = kept;
  }
  return {data_.get() + end_, capacity_ - end_};
}

std::optional<BackendMessage> ReceiveBuffer::next() {
  const std::size_t unread = end_ - begin_;
  if (unread < kHeader) return std::nullopt;
  const char* at = data_.get() + begin_;
  std::uint32_t length;
  std::memcpy(&length, at + 1, sizeof length);
  length = __builtin_bswap32(length);
  if (length < 4 || length > kLongestMessage)
    throw ReconnectError("TR130", "the server sent a message of an impossible length", "none needed: it is read again");
  if (unread < std::size_t{length} + 1) {
    wanted_ = std::size_t{length} + 1;
    return std::nullopt;
  }
  wanted_ = 0;
  begin_ += std::size_t{length} + 1;
  return BackendMessage{*at, {at + kHeader, length - 4}};
}

}  // namespace tailrace::postgres
