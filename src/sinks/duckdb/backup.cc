#include "sinks/duckdb/backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "sinks/duckdb/damage.h"
#include "sinks/duckdb/state_format.h"
#include "sinks/duckdb/state_tables.h"

namespace tailrace::duckdb {
namespace {

constexpr std::size_t kPiece = 1 << 20;

[[noreturn]] void fail(const char* doing, const std::filesystem::path& path) {
  const std::string what = fmt::format("cannot {} {}: {}", doing, path.string(), std::strerror(errno));
  if (errno == ENOSPC || errno == EDQUOT) throw RetryError("TR607", what, "make room on that disk");
  throw RefusedError("TR606", what, "see that the directory exists and the file is accessible");
}

void copy_bytes(int from, const std::filesystem::path& name, const std::filesystem::path& to) {
  const UniqueFd out(::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!out) fail("make", to);
  std::vector<char> piece(kPiece);
  off_t at = 0;
  while (true) {
    const ssize_t got = ::pread(from, piece.data(), piece.size(), at);
    if (got < 0) fail("read", name);
    if (got == 0) break;
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = ::pwrite(out.get(), piece.data() + done, static_cast<std::size_t>(got - done), at + done);
      if (put < 0) fail("write", to);
      done += put;
    }
    at += got;
  }
  if (::fsync(out.get()) != 0) fail("sync", to);
}

/// DuckDB's own lock, for reading: keeps writers out. Closing any descriptor of the file in this process lets go of it.
void lock_for_reading(int fd, const std::filesystem::path& path) {
  struct flock whole{};
  whole.l_type = F_RDLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd, F_SETLK, &whole) == 0) return;
  throw RetryError("TR601", fmt::format("{} is held by another process", path.string()), "close it there");
}

void remove_with_log(const std::filesystem::path& file) {
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
  std::filesystem::remove(file.string() + ".wal", ignored);
}

void copy_with_log(const std::filesystem::path& from, const std::filesystem::path& to) {
  const UniqueFd file(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) fail("open", from);
  lock_for_reading(file.get(), from);
  remove_with_log(to);
  copy_bytes(file.get(), from, to);
  const std::filesystem::path log = from.string() + ".wal";
  const UniqueFd log_file(::open(log.c_str(), O_RDONLY | O_CLOEXEC));
  if (log_file) {
    copy_bytes(log_file.get(), log, to.string() + ".wal");
  } else if (errno != ENOENT) {
    fail("open", log);
  }
}

/// Opens the copy, which takes its log in, and reads all of it.
BackupFacts read_whole(const DuckdbSpec& spec, const std::filesystem::path& copy) {
  BackupFacts facts;
  {
    Connection connection(Database::open(copy, {spec.memory_limit, spec.threads, false}));
    DuckdbSpec named = spec;
    named.path = copy;
    if (!state_format(connection, named))
      throw RefusedError("TR602", fmt::format("{} is no target of Tailrace", spec.path.string()), "name another file");
    facts.cursor = StateTables(connection).read_cursor();
    for (const TextRow& row : connection.rows("SELECT schema_name, table_name FROM duckdb_tables() WHERE "
                                              "database_name = current_database()")) {
      connection.rows(fmt::format("SELECT bit_xor(hash(x))::VARCHAR FROM {}.{} AS x", identifier(row[0].second),
                                  identifier(row[1].second)));
      if (row[0].second != "tailrace") ++facts.tables;
    }
    connection.run("CHECKPOINT");
  }
  facts.bytes = std::filesystem::file_size(copy);
  return facts;
}

void put_in_place(const std::filesystem::path& copy, const std::filesystem::path& to) {
  const UniqueFd file(::open(copy.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file || ::fsync(file.get()) != 0) fail("sync", copy);
  if (::rename(copy.c_str(), to.c_str()) != 0) fail("rename", copy);
  const std::filesystem::path directory = to.has_parent_path() ? to.parent_path() : ".";
  const UniqueFd parent(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent || ::fsync(parent.get()) != 0) fail("sync", directory);
}

}  // namespace

BackupFacts back_up(const DuckdbSpec& spec, const std::filesystem::path& to) {
  if (std::filesystem::exists(to))
    throw BadConfigError("TR217", fmt::format("{} is there already", to.string()), "name another file, or remove it");
  const std::filesystem::path part = to.string() + ".part";
  try {
    copy_with_log(spec.path, part);
    const BackupFacts facts = read_whole(spec, part);
    put_in_place(part, to);
    return facts;
  } catch (const Error&) {
    remove_with_log(part);
    throw;
  }
}

BackupFacts restore(const DuckdbSpec& spec, const std::filesystem::path& from, Lsn log_begins,
                    std::filesystem::path& kept) {
  const std::filesystem::path part = spec.path.string() + ".part";
  try {
    copy_with_log(from, part);
    const BackupFacts facts = read_whole(spec, part);
    if (!facts.cursor || facts.cursor->position.commit_end < log_begins)
      throw RefusedError(
          "TR626",
          fmt::format("{} ends at {}, but the log begins at {}: what changed between them is gone", from.string(),
                      facts.cursor ? facts.cursor->position.commit_end.str() : "no place", log_begins.str()),
          "restore a younger backup; or open this one beside the target, for its history");
    if (std::filesystem::exists(spec.path)) {
      {
        const UniqueFd current(::open(spec.path.c_str(), O_RDONLY | O_CLOEXEC));
        if (current) lock_for_reading(current.get(), spec.path);
      }
      kept = move_aside(spec.path, "replaced");
    }
    put_in_place(part, spec.path);
    return facts;
  } catch (const Error&) {
    remove_with_log(part);
    throw;
  }
}

}  // namespace tailrace::duckdb
