#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "model/change_batch.h"
#include "sinks/duckdb/spec.h"

namespace tailrace::duckdb {

/// What a backup holds.
struct BackupFacts {
  std::uint64_t bytes = 0;
  std::uint64_t tables = 0;
  /// Nothing: the first copy was not finished.
  std::optional<Cursor> cursor;
};

/// Copies the target spec.path with its log to one file `to` that appears whole or not at all, and reads the copy to
/// its last block. The target's own pipeline must have let go of it; anybody else is kept out meanwhile. Throws
/// BadConfigError TR217 when `to` is there, RetryError TR601 when somebody writes the target, RefusedError when it is
/// missing or not of spec.pipeline and spec.source_id, DamagedTarget when it cannot be read whole.
BackupFacts back_up(const DuckdbSpec& spec, const std::filesystem::path& to);

/// Puts the backup `from` where spec.path is; what is there now is kept as `FILE.replaced-<UTC time>`, whose name is
/// put into `kept`. Nobody may use the target. `log_begins`: what the log still has. Throws what back_up() throws of
/// `from`, and RefusedError TR626 when the log does not reach back to its cursor.
BackupFacts restore(const DuckdbSpec& spec, const std::filesystem::path& from, Lsn log_begins,
                    std::filesystem::path& kept);

}  // namespace tailrace::duckdb
