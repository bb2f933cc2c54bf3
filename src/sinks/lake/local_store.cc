#include "sinks/lake/local_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/unique_fd.h"

namespace tailrace::lake {
namespace {

namespace fs = std::filesystem;

std::string random_name() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}", random(), random(), random());
}

}  // namespace

LocalStore::LocalStore(fs::path root) : root_(std::move(root)), staged_(root_ / "_staged") {}

void LocalStore::fail(const std::string& doing, const fs::path& path) const {
  const int code = errno;
  const std::string what = fmt::format("cannot {} {}: {}", doing, path.string(), std::strerror(code));
  if (code == EACCES || code == EPERM || code == EROFS || code == ENOTDIR || code == ENAMETOOLONG)
    throw RefusedError("TR851", what, "give Tailrace the right to write there, or name another directory");
  throw RetryError("TR850", what, "see that the disk of the lake has room and works");
}

void LocalStore::sync_directory(const fs::path& directory) const {
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) fail("sync", directory);
}

void LocalStore::make_way(const fs::path& file) const {
  std::vector<fs::path> missing;
  for (fs::path at = file.parent_path(); !at.empty() && !fs::is_directory(at); at = at.parent_path())
    missing.push_back(at);
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
    if (::mkdir(at->c_str(), 0777) != 0 && errno != EEXIST) fail("make the directory", *at);
    sync_directory(at->has_parent_path() ? at->parent_path() : fs::path("."));
  }
}

fs::path LocalStore::written(std::string_view bytes) {
  const fs::path path = staged_ / random_name();
  make_way(path);
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!fd) fail("make", path);
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write", path);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::fsync(fd.get()) != 0) fail("sync", path);
  return path;
}

void LocalStore::move(const fs::path& from, const fs::path& to) const {
  make_way(to);
  if (::rename(from.c_str(), to.c_str()) != 0) fail("rename what was staged to", to);
  sync_directory(to.parent_path());
}

std::vector<std::string> LocalStore::list(const std::string& prefix) {
  std::vector<std::string> paths;
  const std::size_t slash = prefix.rfind('/');
  const fs::path below = slash == std::string::npos ? root_ : root_ / prefix.substr(0, slash);
  std::error_code error;
  for (fs::recursive_directory_iterator at(below, error), end; !error && at != end; at.increment(error)) {
    if (at->path() == staged_) at.disable_recursion_pending();
    if (!at->is_regular_file()) continue;
    std::string path = at->path().lexically_relative(root_).string();
    if (path.starts_with(prefix)) paths.push_back(std::move(path));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    errno = error.value();
    fail("read the directory", below);
  }
  std::ranges::sort(paths);
  return paths;
}

std::string LocalStore::read(const std::string& path) {
  std::ifstream file(root_ / path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) fail("read", root_ / path);
  return bytes;
}

bool LocalStore::create(const std::string& path, std::string_view bytes) {
  const fs::path from = written(bytes);
  const fs::path to = root_ / path;
  make_way(to);
  const bool is_new = ::link(from.c_str(), to.c_str()) == 0;
  if (!is_new && errno != EEXIST) fail("make", to);
  if (is_new) sync_directory(to.parent_path());
  if (::unlink(from.c_str()) != 0) fail("remove", from);
  return is_new;
}

void LocalStore::write(const std::string& path, std::string_view bytes) { move(written(bytes), root_ / path); }

void LocalStore::remove(const std::string& path) {
  const fs::path file = root_ / path;
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) fail("remove", file);
}

std::string LocalStore::stage(const std::string& /*path*/, std::string_view bytes) {
  const fs::path file = written(bytes);
  sync_directory(staged_);
  return file.filename().string();
}

bool LocalStore::publish(const std::string& path, const std::string& token) {
  if (!fs::exists(staged_ / token)) return fs::exists(root_ / path);
  move(staged_ / token, root_ / path);
  return true;
}

void LocalStore::drop(const std::string& /*path*/, const std::string& token) {
  if (::unlink((staged_ / token).c_str()) != 0 && errno != ENOENT) fail("remove", staged_ / token);
}

void LocalStore::drop_staged() {
  if (!fs::exists(staged_)) return;
  for (const fs::directory_entry& entry : fs::directory_iterator(staged_))
    if (::unlink(entry.path().c_str()) != 0 && errno != ENOENT) fail("remove", entry.path());
}

}  // namespace tailrace::lake
