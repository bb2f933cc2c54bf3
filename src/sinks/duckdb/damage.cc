#include "sinks/duckdb/damage.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <system_error>

#include "base/crash_point.h"
#include "base/unique_fd.h"

namespace tailrace::duckdb {
namespace {

constexpr std::size_t kMostFaults = 3;
constexpr auto kFaultsWithin = std::chrono::minutes(10);

// What DuckDB writes beside its file: the log, and the one it has while a checkpoint or a recovery is under way.
constexpr std::array<const char*, 3> kLogs = {".wal", ".wal.checkpoint", ".wal.recovery"};

void move(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (error && error != std::errc::no_such_file_or_directory)
    throw RetryError("TR625", fmt::format("{} cannot be set aside: {}", from.string(), error.message()),
                     "see that its directory is writable");
}

void sync_directory_of(const std::filesystem::path& file) {
  const std::filesystem::path directory = file.has_parent_path() ? file.parent_path() : ".";
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0)
    throw RetryError("TR625", fmt::format("{} cannot be synced", directory.string()), "look at the disk of the target");
}

}  // namespace

bool speaks_of_damage(std::string_view message) {
  constexpr std::array<std::string_view, 6> kSigns = {
      "orrupt", "checksum", "Could not read enough bytes", "WAL file", "Failed to deserialize", "Serialization"};
  return std::ranges::any_of(kSigns,
                             [&](std::string_view sign) { return message.find(sign) != std::string_view::npos; });
}

std::filesystem::path move_aside(const std::filesystem::path& file, std::string_view why) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const std::string stem = fmt::format("{}.{}-{:%Y%m%dT%H%M%SZ}", file.string(), why, fmt::gmtime(now));
  std::string kept = stem;
  for (int n = 2; std::filesystem::exists(kept) || std::filesystem::exists(kept + ".wal"); ++n)
    kept = fmt::format("{}-{}", stem, n);
  for (const char* log : kLogs) move(file.string() + log, kept + log);
  sync_directory_of(file);
  TAILRACE_CRASH_POINT("duckdb.log_set_aside");
  move(file, kept);
  sync_directory_of(file);
  std::error_code ignored;
  std::filesystem::remove_all(file.string() + ".tmp", ignored);
  return kept;
}

bool FaultCount::too_many(SteadyClock::time_point now) {
  const std::lock_guard lock(mutex_);
  while (!faults_.empty() && now - faults_.front() > kFaultsWithin) faults_.pop_front();
  faults_.push_back(now);
  return faults_.size() >= kMostFaults;
}

void FaultCount::clear() {
  const std::lock_guard lock(mutex_);
  faults_.clear();
}

}  // namespace tailrace::duckdb
