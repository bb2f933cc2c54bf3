#include "base/file_bytes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <system_error>

#include "base/error.h"
#include "base/let_go.h"
#include "base/unique_fd.h"

namespace tailrace {
namespace {

[[noreturn]] void no_room(const std::filesystem::path& directory, std::size_t size, int code) {
  throw RetryError("TR404",
                   fmt::format("there is no room in {} for a value of {} MiB: {}", directory.string(), size >> 20,
                               std::generic_category().message(code)),
                   "free disk space; reading from PostgreSQL goes on by itself, nothing is lost");
}

/// Not every file system has files without a name.
UniqueFd make_nameless(const std::filesystem::path& directory) {
  UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file || (errno != EOPNOTSUPP && errno != EISDIR)) return file;
  std::string name = (directory / "long.XXXXXX").string();
  file = UniqueFd(::mkostemp(name.data(), O_CLOEXEC));
  if (file) ::unlink(name.c_str());
  return file;
}

/// All files that are mapped now: whoever lets go of bytes need not know where they lie. Any thread.
class Mapped {
 public:
  static Mapped& all() {
    static Mapped mapped;
    return mapped;
  }
  void add(const char* data, std::size_t size) {
    const std::lock_guard lock(mutex_);
    ends_[data] = data + size;
  }
  void remove(const char* data) {
    const std::lock_guard lock(mutex_);
    ends_.erase(data);
  }
  /// What of the bytes' pages lies in one file; no longer than the call are others kept from unmapping it.
  void let_go(ByteView bytes) {
    static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::lock_guard lock(mutex_);
    auto found = ends_.upper_bound(bytes.data());
    if (found == ends_.begin()) return;
    --found;
    if (bytes.data() >= found->second) return;
    const char* data = found->first;
    const auto first = static_cast<std::size_t>(bytes.data() - data) / page * page;
    const auto end = static_cast<std::size_t>(std::min(bytes.data() + bytes.size(), found->second) - data);
    // Of a shared mapping this only takes the pages out of this process.
    ::madvise(const_cast<char*>(data) + first, end - first, MADV_DONTNEED);
  }

 private:
  std::mutex mutex_;
  std::map<const char*, const char*> ends_;
};

}  // namespace

void let_go(ByteView bytes) {
  if (!bytes.empty()) Mapped::all().let_go(bytes);
}

FileBytes::FileBytes(const std::filesystem::path& directory, std::size_t size) : size_(size) {
  const UniqueFd file = make_nameless(directory);
  if (!file) no_room(directory, size, errno);
  // Written to where it has no blocks, a full disk would kill the process.
  if (const int code = ::posix_fallocate(file.get(), 0, static_cast<off_t>(size)); code != 0)
    no_room(directory, size, code);
  void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) no_room(directory, size, errno);
  data_ = static_cast<char*>(mapped);
  Mapped::all().add(data_, size_);
}

FileBytes::~FileBytes() {
  Mapped::all().remove(data_);
  ::munmap(data_, size_);
}

}  // namespace tailrace
