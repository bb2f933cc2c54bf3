#include "pipeline/sqlite_statement.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>

#include "base/error.h"
#include "base/lack_of_memory.h"

namespace tailrace::pipeline {
namespace {

/// LSNs and sequence numbers stay below 2^63, so their order survives SQLite's signed integers.
sqlite3_int64 signed_of(std::uint64_t value) { return static_cast<sqlite3_int64>(value); }
std::uint64_t unsigned_of(sqlite3_int64 value) { return static_cast<std::uint64_t>(value); }

}  // namespace

void throw_catalog_error(sqlite3* db, const std::filesystem::path& path, const char* doing) {
  int code = sqlite3_errcode(db);
  if (code == SQLITE_NOMEM || sqlite3_extended_errcode(db) == SQLITE_IOERR_NOMEM) throw lack_of_memory();
  // A file beside the catalog could not be made.
  if (code == SQLITE_CANTOPEN && sqlite3_system_errno(db) == ENOSPC) code = SQLITE_FULL;
  const std::string what =
      fmt::format("catalog {}: cannot {} a statement: {}", path.string(), doing, sqlite3_errmsg(db));
  switch (code) {
    case SQLITE_FULL:
    case SQLITE_BUSY:
    case SQLITE_LOCKED: throw RetryError("TR516", what, "free space on the disk of the state directory");
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM: throw BadConfigError("TR512", what, "make the state directory writable");
    default: throw CorruptionError("TR515", what, "restore the state directory, or move it away for a new copy");
  }
}

SqliteStatement::SqliteStatement(sqlite3* db, const std::filesystem::path& path, const char* sql)
    : db_(db), path_(path) {
  if (sqlite3_prepare_v2(db, sql, -1, &handle_, nullptr) != SQLITE_OK) throw_catalog_error(db, path, "prepare");
}

SqliteStatement::~SqliteStatement() { sqlite3_finalize(handle_); }

SqliteStatement& SqliteStatement::bind(std::uint64_t value) {
  sqlite3_bind_int64(handle_, ++bound_, signed_of(value));
  return *this;
}

SqliteStatement& SqliteStatement::bind(std::int64_t value) {
  sqlite3_bind_int64(handle_, ++bound_, value);
  return *this;
}

SqliteStatement& SqliteStatement::bind(const std::string& value) {
  sqlite3_bind_text64(handle_, ++bound_, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

SqliteStatement& SqliteStatement::bind_blob(ByteView value) {
  // Of a null pointer SQLite would make NULL.
  sqlite3_bind_blob64(handle_, ++bound_, value.empty() ? "" : value.data(), value.size(), SQLITE_TRANSIENT);
  return *this;
}

SqliteStatement& SqliteStatement::bind(const Position& position) {
  return bind(std::uint64_t{position.epoch}).bind(position.commit_end.value()).bind(position.ordinal);
}

bool SqliteStatement::step() {
  const int result = sqlite3_step(handle_);
  if (result == SQLITE_ROW) return true;
  if (result != SQLITE_DONE) throw_catalog_error(db_, path_, "run");
  return false;
}

void SqliteStatement::run() {
  step();
  rewind();
}

void SqliteStatement::rewind() {
  sqlite3_reset(handle_);
  bound_ = 0;
}

std::uint64_t SqliteStatement::number(int column) const { return unsigned_of(sqlite3_column_int64(handle_, column)); }

std::string SqliteStatement::text(int column) const {
  const void* bytes = sqlite3_column_blob(handle_, column);
  const int size = sqlite3_column_bytes(handle_, column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

Position SqliteStatement::position(int column) const {
  return {static_cast<std::uint32_t>(number(column)), Lsn(number(column + 1)), number(column + 2)};
}

SchemaVersion SqliteStatement::schema_version() const {
  return {position(0), PgTime::from_unix_micros(static_cast<std::int64_t>(number(3))), text(4),
          decode_relation(text(5))};
}

}  // namespace tailrace::pipeline
