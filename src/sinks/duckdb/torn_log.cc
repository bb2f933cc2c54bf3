#include "sinks/duckdb/torn_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace tailrace::duckdb {
namespace {

// An entry is its size (8 bytes), a checksum (8 bytes) and its content, which begins with field 100, the entry's type.
constexpr std::uint64_t kFrame = 16;
constexpr std::uint64_t kLeastContent = 5;
constexpr unsigned char kRowGroups = 29;
constexpr unsigned char kCommit = 100;

// The first entry, the version, has no frame: field 100 = 98, field 101 = version, optional fields, 0xffff.
constexpr std::array<unsigned char, 6> kVersionTwo = {0x64, 0x00, 0x62, 0x65, 0x00, 0x02};
constexpr std::uint64_t kLongestVersionEntry = 128;

[[noreturn]] void refuse(const std::string& what) {
  throw RefusedError("TR630", "DuckDB's log: cannot " + what + ": " + std::strerror(errno),
                     "see that the user of Tailrace may read and write the target and the files beside it");
}

class Log {
 public:
  Log(int fd, std::uint64_t size) : fd_(fd), size_(size) {}

  std::uint64_t size() const { return size_; }

  bool read(std::uint64_t offset, void* into, std::size_t count) const {
    if (offset + count > size_) return false;
    const ssize_t got = ::pread(fd_, into, count, static_cast<off_t>(offset));
    if (got < 0) refuse("read it");
    return static_cast<std::size_t>(got) == count;
  }

  struct Entry {
    unsigned char type = 0;
    std::uint64_t end = 0;
  };

  /// The entry at `offset`; empty when it is not there to its end.
  std::optional<Entry> entry(std::uint64_t offset) const {
    std::uint64_t length = 0;
    std::array<unsigned char, 3> start{};
    if (!read(offset, &length, sizeof length) || !read(offset + kFrame, start.data(), start.size())) return {};
    if (length < kLeastContent || length > size_ - offset - kFrame) return {};
    if (start[0] != 0x64 || start[1] != 0) return {};
    return Entry{start[2], offset + kFrame + length};
  }

  /// Where the first framed entry begins; empty when the log is of another form or holds none.
  std::optional<std::uint64_t> first_entry() const {
    std::array<unsigned char, kVersionTwo.size()> start{};
    if (!read(0, start.data(), start.size()) || start != kVersionTwo) return {};
    for (std::uint64_t offset = kVersionTwo.size() + 2; offset <= kLongestVersionEntry; ++offset) {
      std::array<unsigned char, 2> end{};
      if (!read(offset - 2, end.data(), end.size())) return {};
      if (end[0] == 0xff && end[1] == 0xff && entry(offset)) return offset;
    }
    return {};
  }

 private:
  int fd_;
  std::uint64_t size_;
};

// Where the log is to end; its size when it is to stay as it is.
std::uint64_t end_of_whole_transactions(const Log& log) {
  const std::optional<std::uint64_t> first = log.first_entry();
  if (!first) return log.size();
  std::uint64_t committed = *first;
  bool row_groups_pending = false;
  std::uint64_t offset = *first;
  while (const std::optional<Log::Entry> entry = log.entry(offset)) {
    offset = entry->end;
    if (entry->type == kCommit) {
      committed = offset;
      row_groups_pending = false;
    } else if (entry->type == kRowGroups) {
      row_groups_pending = true;
    }
  }
  return row_groups_pending ? committed : log.size();
}

// DuckDB's own lock. Closing any descriptor of the file in this process lets go of it: hence the precondition.
bool lock(int fd) {
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return ::fcntl(fd, F_SETLK, &whole) == 0;
}

}  // namespace

std::uint64_t cut_torn_log(const std::filesystem::path& path) {
  const UniqueFd database(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!database || !lock(database.get())) return 0;  // opening it will say why
  const std::filesystem::path log_path = path.string() + ".wal";
  const UniqueFd file(::open(log_path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT) return 0;
    refuse("open it");
  }
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) refuse("read it");
  const Log log(file.get(), static_cast<std::uint64_t>(status.st_size));
  const std::uint64_t end = end_of_whole_transactions(log);
  if (end == log.size()) return 0;
  if (::ftruncate(file.get(), static_cast<off_t>(end)) != 0 || ::fsync(file.get()) != 0) refuse("cut it");
  return log.size() - end;
}

}  // namespace tailrace::duckdb
