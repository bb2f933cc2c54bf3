#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "base/bytes.h"

namespace tailrace::vectors {

/// Keeps bytes at fixed addresses until clear(). One owner, one thread.
class Arena {
 public:
  char* allocate(std::size_t n) {
    if (n > left_) grow(n);
    char* at = next_;
    next_ += n;
    left_ -= n;
    return at;
  }
  ByteView keep(ByteView bytes) {
    if (bytes.empty()) return {};
    char* at = allocate(bytes.size());
    std::memcpy(at, bytes.data(), bytes.size());
    return {at, bytes.size()};
  }
  /// Frees all but one block.
  void clear() {
    if (blocks_.size() > 1 || first_size_ != kBlock) {
      blocks_.clear();
      next_ = nullptr;
      left_ = 0;
      first_size_ = 0;
      return;
    }
    if (blocks_.empty()) return;
    next_ = blocks_.front().get();
    left_ = kBlock;
  }

 private:
  static constexpr std::size_t kBlock = 64 << 10;

  void grow(std::size_t n) {
    const std::size_t size = std::max(n, kBlock);
    blocks_.push_back(std::unique_ptr<char[]>(new char[size]));
    if (blocks_.size() == 1) first_size_ = size;
    next_ = blocks_.back().get();
    left_ = size;
  }

  std::vector<std::unique_ptr<char[]>> blocks_;
  std::size_t first_size_ = 0;
  char* next_ = nullptr;
  std::size_t left_ = 0;
};

}  // namespace tailrace::vectors
