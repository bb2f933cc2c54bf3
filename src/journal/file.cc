#include "journal/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.h"
#include "base/unique_fd.h"

namespace tailrace::journal {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* doing, const fs::path& path, int code) {
  const std::string what = fmt::format("{} {}: {}", doing, path.string(), std::generic_category().message(code));
  if (code == ENOSPC || code == EDQUOT)
    throw RetryError("TR404", what, "free disk space; reading from PostgreSQL goes on by itself, nothing is lost");
  throw CorruptionError("TR402", what,
                        "check the disk and the kernel's log, then start again: the journal goes on "
                        "from what was durable before");
}

class PosixFile final : public File {
 public:
  PosixFile(UniqueFd fd, fs::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  void write_at(std::uint64_t offset, ByteView bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("cannot write", path_, errno);
      offset += static_cast<std::uint64_t>(n);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  std::size_t read_at(std::uint64_t offset, char* to, std::size_t size) const override {
    std::size_t done = 0;
    while (done < size) {
      const ssize_t n = ::pread(fd_.get(), to + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("cannot read", path_, errno);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  void sync() override {
    if (::fdatasync(fd_.get()) != 0) fail("cannot sync", path_, errno);
  }

  void allocate(std::uint64_t size) override {
    if (::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size)) == 0) return;
    if (errno != EOPNOTSUPP) fail("cannot reserve space for", path_, errno);
    truncate(size);
  }

  void truncate(std::uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) fail("cannot resize", path_, errno);
  }

  std::uint64_t size() const override {
    struct stat status{};
    if (::fstat(fd_.get(), &status) != 0) fail("cannot examine", path_, errno);
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  UniqueFd fd_;
  fs::path path_;
};

class PosixFiles final : public Files {
 public:
  std::unique_ptr<File> create(const fs::path& path, bool direct) override {
    return open_as("cannot create", path, O_RDWR | O_CREAT | O_TRUNC, direct);
  }
  std::unique_ptr<File> open(const fs::path& path, bool direct) override {
    return open_as("cannot open", path, O_RDWR, direct);
  }
  std::unique_ptr<File> open_to_read(const fs::path& path, bool direct) override {
    return open_as("cannot open", path, O_RDONLY, direct);
  }

  void rename(const fs::path& from, const fs::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) fail("cannot rename", from, errno);
  }

  void remove(const fs::path& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail("cannot remove", path, errno);
  }

  void make_directory(const fs::path& path) override {
    std::error_code code;
    fs::create_directories(path, code);
    if (code) {
      throw BadConfigError("TR406", fmt::format("cannot make the directory {}: {}", path.string(), code.message()),
                           "give a place that this user may write to");
    }
  }

  void sync_directory(const fs::path& path) override {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) fail("cannot sync the directory", path, errno);
  }

  std::vector<std::string> list(const fs::path& directory) const override {
    std::vector<std::string> names;
    std::error_code code;
    for (fs::directory_iterator it(directory, code), end; !code && it != end; it.increment(code))
      if (it->is_regular_file()) names.push_back(it->path().filename().string());
    if (code) {
      throw BadConfigError("TR406", fmt::format("cannot list {}: {}", directory.string(), code.message()),
                           "give the directory of a journal that this user may read");
    }
    std::ranges::sort(names);
    return names;
  }

 private:
  static std::unique_ptr<File> open_as(const char* doing, const fs::path& path, int flags, bool direct) {
    if (direct) {
      UniqueFd fd(::open(path.c_str(), flags | O_DIRECT | O_CLOEXEC, 0600));
      if (fd) return std::make_unique<PosixFile>(std::move(fd), path);
      if (errno != EINVAL) fail(doing, path, errno);
    }
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
    if (!fd) fail(doing, path, errno);
    return std::make_unique<PosixFile>(std::move(fd), path);
  }
};

}  // namespace

Files& posix_files() {
  static PosixFiles files;
  return files;
}

}  // namespace tailrace::journal
