#include "pipeline/sqlite_statement.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>

#include "base/error.h"
#include "base/lack_of_memory.h"

namespace tailrace::pipeline {

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

SchemaVersion SqliteStatement::schema_version() const {
  return {position(0), PgTime::from_unix_micros(static_cast<std::int64_t>(number(3))), text(4),
          decode_relation(text(5))};
}

}  // namespace tailrace::pipeline
