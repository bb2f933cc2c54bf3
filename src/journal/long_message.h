#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

#include "base/bytes.h"
#include "base/file_bytes.h"
#include "journal/chunk.h"

namespace tailrace::journal {

/// One message of known length that is put together in order. A very long one lies in a file without a name beside the
/// log, so that only what is looked at is in memory (base/let_go.h); where none can be made, it is in memory as a
/// whole. Filled by one thread; shared by the batches that point into it, on any thread.
class LongMessage {
 public:
  LongMessage(const std::filesystem::path& directory, std::size_t bytes);

  std::size_t size() const { return size_; }
  std::size_t added() const { return added_; }
  /// REQUIRES: no more than is missing.
  void add(ByteView part);
  /// REQUIRES: all of it was added.
  ByteView bytes() const { return {data_, size_}; }

 private:
  const std::size_t size_;
  std::size_t added_ = 0;
  char* data_ = nullptr;
  std::unique_ptr<FileBytes> file_;
  std::unique_ptr<Chunk> memory_;
};

}  // namespace tailrace::journal
