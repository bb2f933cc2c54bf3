#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace tailrace::journal {

/// An open file. Offsets, lengths and addresses are multiples of kBlock, since it may be open for direct I/O.
/// Owned by who opened it; reading is safe beside writing, otherwise one thread at a time.
/// What fails throws RetryError when space is lacking, else CorruptionError.
class File {
 public:
  virtual ~File() = default;
  /// All of it, or an exception; then any part may have been written.
  virtual void write_at(std::uint64_t offset, ByteView bytes) = 0;
  /// Gives how much was read: less than `size` only at the end of the file.
  virtual std::size_t read_at(std::uint64_t offset, char* to, std::size_t size) const = 0;
  /// After a failure nothing written since the last success may be trusted, and it must not be tried again.
  virtual void sync() = 0;
  /// Makes the file that long with its space reserved, so that writing into it needs none.
  virtual void allocate(std::uint64_t size) = 0;
  virtual void truncate(std::uint64_t size) = 0;
  virtual std::uint64_t size() const = 0;
};

/// The journal's way to the operating system's files, replaced in tests. Outlives all files it opened. Any thread.
class Files {
 public:
  virtual ~Files() = default;
  /// A new file for reading and writing; one that is there is emptied.
  virtual std::unique_ptr<File> create(const std::filesystem::path& path, bool direct) = 0;
  /// An existing file for reading and writing. Throws CorruptionError when it is missing.
  virtual std::unique_ptr<File> open(const std::filesystem::path& path, bool direct) = 0;
  /// An existing file for reading. Throws CorruptionError when it is missing.
  virtual std::unique_ptr<File> open_to_read(const std::filesystem::path& path, bool direct) = 0;
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  /// A file that is missing is as good as removed.
  virtual void remove(const std::filesystem::path& path) = 0;
  virtual void make_directory(const std::filesystem::path& path) = 0;
  virtual void sync_directory(const std::filesystem::path& path) = 0;
  /// Names of the regular files, sorted.
  virtual std::vector<std::string> list(const std::filesystem::path& directory) const = 0;
};

/// The operating system's files. Lives as long as the process.
Files& posix_files();

}  // namespace tailrace::journal
