#pragma once

#include <cstddef>
#include <filesystem>

#include "base/bytes.h"
#include "base/crash_point.h"

namespace tailrace {

/// From here on what comes as one piece lies in a file instead of in memory.
inline std::size_t long_bytes() { return bound_or_tested("LONG_BYTES", std::uint64_t{32} << 20); }

/// A given number of bytes in a file without a name, mapped: only what was looked at since it was let go
/// (base/let_go.h) is in memory. Filled by one thread, then read by any; the file goes with the object.
class FileBytes {
 public:
  /// Throws RetryError TR404 when no such file can be made in `directory`, mostly because its disk is full.
  FileBytes(const std::filesystem::path& directory, std::size_t size);
  ~FileBytes();
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  char* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  const std::size_t size_;
  char* data_ = nullptr;
};

}  // namespace tailrace
