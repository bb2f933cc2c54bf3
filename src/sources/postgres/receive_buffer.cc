#include "sources/postgres/receive_buffer.h"

#include <algorithm>

#include "base/error.h"
#include "base/let_go.h"

namespace tailrace::postgres {
namespace {

constexpr std::size_t kHeader = 5;
/// A field is below 1 GiB, a message with its overhead below 2 GiB.
constexpr std::size_t kLongestMessage = 0x7fffffff;
/// Of a long message so much is in memory while it comes.
constexpr std::size_t kLongWindow = std::size_t{1} << 20;

}  // namespace

ReceiveBuffer::ReceiveBuffer(std::size_t capacity, std::filesystem::path long_directory, std::size_t long_from)
    : normal_capacity_(capacity), long_directory_(std::move(long_directory)), long_from_(long_from) {
  reallocate(capacity);
}

void ReceiveBuffer::reallocate(std::size_t capacity) {
  auto data = std::make_unique_for_overwrite<char[]>(capacity);
  if (end_ > begin_) std::memcpy(data.get(), data_.get() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  data_ = std::move(data);
  capacity_ = capacity;
}

ReceiveBuffer::Space ReceiveBuffer::space(std::size_t minimum) {
  if (long_given_) {
    long_.reset();
    long_given_ = false;
  }
  if (long_) return {long_->data() + long_filled_, std::min(kLongWindow, long_->size() - long_filled_)};
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

void ReceiveBuffer::filled(std::size_t bytes) {
  if (!long_) {
    end_ += bytes;
    return;
  }
  long_filled_ += bytes;
  if (long_filled_ - long_let_go_ < kLongWindow && long_filled_ < long_->size()) return;
  let_go({long_->data() + long_let_go_, long_filled_ - long_let_go_});
  long_let_go_ = long_filled_;
}

void ReceiveBuffer::begin_long(std::size_t size) {
  long_ = std::make_unique<FileBytes>(long_directory_, size);
  long_filled_ = end_ - begin_;
  long_let_go_ = 0;
  std::memcpy(long_->data(), data_.get() + begin_, long_filled_);
  begin_ = end_ = 0;
}

std::optional<BackendMessage> ReceiveBuffer::next() {
  if (long_) {
    if (long_given_ || long_filled_ < long_->size()) return std::nullopt;
    long_given_ = true;
    return BackendMessage{*long_->data(), {long_->data() + kHeader, long_->size() - kHeader}};
  }
  const std::size_t unread = end_ - begin_;
  if (unread < kHeader) return std::nullopt;
  const char* at = data_.get() + begin_;
  std::uint32_t length;
  std::memcpy(&length, at + 1, sizeof length);
  length = __builtin_bswap32(length);
  if (length < 4 || length > kLongestMessage)
    throw ReconnectError("TR130", "the server sent a message of an impossible length", "none needed: it is read again");
  if (unread < std::size_t{length} + 1) {
    if (length >= long_from_ && !long_directory_.empty()) {
      begin_long(std::size_t{length} + 1);
      return std::nullopt;
    }
    wanted_ = std::size_t{length} + 1;
    return std::nullopt;
  }
  wanted_ = 0;
  begin_ += std::size_t{length} + 1;
  return BackendMessage{*at, {at + kHeader, length - 4}};
}

}  // namespace tailrace::postgres
