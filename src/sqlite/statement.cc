#include "sqlite/statement.h"

#include <sqlite3.h>

namespace tailrace::sqlite {
namespace {

/// LSNs and sequence numbers stay below 2^63, so their order survives SQLite's signed integers.
sqlite3_int64 signed_of(std::uint64_t value) { return static_cast<sqlite3_int64>(value); }
std::uint64_t unsigned_of(sqlite3_int64 value) { return static_cast<std::uint64_t>(value); }

}  // namespace

Statement::Statement(sqlite3* db, const std::filesystem::path& file, OnFailure on_failure, const char* sql)
    : db_(db), file_(file), on_failure_(on_failure) {
  if (sqlite3_prepare_v2(db, sql, -1, &handle_, nullptr) != SQLITE_OK) on_failure_(db, file_, "prepare");
}

Statement::~Statement() { sqlite3_finalize(handle_); }

Statement& Statement::bind(std::uint64_t value) {
  sqlite3_bind_int64(handle_, ++bound_, signed_of(value));
  return *this;
}

Statement& Statement::bind(std::int64_t value) {
  sqlite3_bind_int64(handle_, ++bound_, value);
  return *this;
}

Statement& Statement::bind(const std::string& value) {
  sqlite3_bind_text64(handle_, ++bound_, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_blob(ByteView value) {
  // Of a null pointer SQLite would make NULL.
  sqlite3_bind_blob64(handle_, ++bound_, value.empty() ? "" : value.data(), value.size(), SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::bind_null() {
  sqlite3_bind_null(handle_, ++bound_);
  return *this;
}

Statement& Statement::bind(const Position& position) {
  return bind(std::uint64_t{position.epoch}).bind(position.commit_end.value()).bind(position.ordinal);
}

bool Statement::step() {
  const int result = sqlite3_step(handle_);
  if (result == SQLITE_ROW) return true;
  if (result != SQLITE_DONE) on_failure_(db_, file_, "run");
  return false;
}

void Statement::run() {
  step();
  rewind();
}

void Statement::rewind() {
  sqlite3_reset(handle_);
  bound_ = 0;
}

std::uint64_t Statement::number(int column) const { return unsigned_of(sqlite3_column_int64(handle_, column)); }

std::string Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(handle_, column);
  const int size = sqlite3_column_bytes(handle_, column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

Position Statement::position(int column) const {
  return {static_cast<std::uint32_t>(number(column)), Lsn(number(column + 1)), number(column + 2)};
}

}  // namespace tailrace::sqlite
