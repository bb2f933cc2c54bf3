#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/bytes.h"
#include "model/position.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tailrace::sqlite {

/// Throws what the last error of `db`, the database in `file`, asks for. `doing`: "cannot … a statement".
using OnFailure = void (*)(sqlite3* db, const std::filesystem::path& file, const char* doing);

/// One statement with its parameters. Lives for one call, on one thread.
class Statement {
 public:
  Statement(sqlite3* db, const std::filesystem::path& file, OnFailure on_failure, const char* sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::uint64_t value);
  Statement& bind(std::int64_t value);
  Statement& bind(const std::string& value);
  Statement& bind_blob(ByteView value);
  Statement& bind_null();
  Statement& bind(const Position& position);

  /// True while there is a row.
  bool step();
  /// One that gives no rows.
  void run();
  /// Takes parameters anew.
  void rewind();
  std::uint64_t number(int column) const;
  std::string text(int column) const;
  Position position(int column) const;

 private:
  sqlite3* db_;
  const std::filesystem::path& file_;
  const OnFailure on_failure_;
  sqlite3_stmt* handle_ = nullptr;
  int bound_ = 0;
};

}  // namespace tailrace::sqlite
