#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/bytes.h"
#include "model/position.h"
#include "pipeline/catalog.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tailrace::pipeline {

/// Throws what the last error of `db`, the catalog at `path`, asks for.
[[noreturn]] void throw_catalog_error(sqlite3* db, const std::filesystem::path& path, const char* doing);

/// One statement on the catalog with its parameters. Lives for one call, on one thread.
class SqliteStatement {
 public:
  SqliteStatement(sqlite3* db, const std::filesystem::path& path, const char* sql);
  ~SqliteStatement();
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  SqliteStatement& bind(std::uint64_t value);
  SqliteStatement& bind(std::int64_t value);
  SqliteStatement& bind(const std::string& value);
  SqliteStatement& bind_blob(ByteView value);
  SqliteStatement& bind(const Position& position);

  /// True while there is a row.
  bool step();
  /// One that gives no rows.
  void run();
  /// Takes parameters anew.
  void rewind();
  std::uint64_t number(int column) const;
  std::string text(int column) const;
  Position position(int column) const;
  /// Of the columns epoch, commit_end, ordinal, since, what, relation.
  SchemaVersion schema_version() const;

 private:
  sqlite3* db_;
  const std::filesystem::path& path_;
  sqlite3_stmt* handle_ = nullptr;
  int bound_ = 0;
};

}  // namespace tailrace::pipeline
