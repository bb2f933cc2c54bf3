#pragma once

#include <cstdint>
#include <filesystem>

namespace tailrace::duckdb {

/// Cuts the unfinished last transaction off the write-ahead log beside the DuckDB file `path`, before libduckdb opens
/// it. Returns how many bytes went; 0 when there was nothing to cut.
///
/// Why: a transaction that appends more than a row group (122,880 rows) to one table has them in the file before it
/// commits, and its log names them in an entry of its own. Replaying that entry puts the rows into the table for good,
/// also when the process died before the entry that commits, so that rows of a transaction that never was are seen.
/// Found in 1.5.5 and 1.5.6 by the soak (docs/duckdb-soak.md). Logs without such an entry in their unfinished end are
/// left as they are, and so is every log that is not of the form known here (version 2: not encrypted).
///
/// Preconditions: this process has not opened `path`. Takes DuckDB's lock on the file meanwhile; does nothing when
/// another process holds it, or there is no such file.
/// Throws RefusedError when the log cannot be read or cut.
/// Source of the format: DuckDB's src/storage/write_ahead_log.cpp and wal_replay.cpp, 1.5.6.
std::uint64_t cut_torn_log(const std::filesystem::path& path);

}  // namespace tailrace::duckdb
