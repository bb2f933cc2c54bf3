#pragma once

#include <filesystem>

#include "pipeline/catalog.h"
#include "sqlite/statement.h"

struct sqlite3;

namespace tailrace::pipeline {

/// Throws what the last error of `db`, the catalog at `path`, asks for.
[[noreturn]] void throw_catalog_error(sqlite3* db, const std::filesystem::path& path, const char* doing);

/// One statement on the catalog with its parameters. Lives for one call, on one thread.
class SqliteStatement : public sqlite::Statement {
 public:
  SqliteStatement(sqlite3* db, const std::filesystem::path& path, const char* sql)
      : Statement(db, path, throw_catalog_error, sql) {}

  /// Of the columns epoch, commit_end, ordinal, since, what, relation.
  SchemaVersion schema_version() const;
};

}  // namespace tailrace::pipeline
