#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "duckdb.h"
#include "vectors/file_statistics.h"
#include "vectors/row_chunk.h"
#include "vectors/types.h"

namespace tailrace::vectors {

/// DuckDB without a file, which makes Parquet of rows. Shared by the files that are made; connections from any thread.
class ParquetEngine {
 public:
  /// `memory`: what DuckDB may use, in bytes; it writes nothing to disk.
  explicit ParquetEngine(std::uint64_t memory);
  ~ParquetEngine();
  ParquetEngine(const ParquetEngine&) = delete;
  ParquetEngine& operator=(const ParquetEngine&) = delete;

  duckdb_database get() const { return database_; }
  /// Held while a file is made of rows, which takes most of the memory.
  std::mutex& making() { return making_; }

 private:
  std::mutex making_;
  duckdb_database database_ = nullptr;
};

/// A column of a Parquet file: its name there, and its type in DuckDB's SQL.
struct ParquetColumn {
  std::string name;
  std::string type;
};

/// The rows of one Parquet file (zstd, with statistics) while they are gathered. One owner, one thread. All calls throw
/// RetryError TR853 when there is too little memory.
class ParquetRows {
 public:
  /// `columns`: the first of them are of `types`, which PostgreSQL's texts become; the others are set by the chunk's
  /// set_*(). `order`: places of the columns by which the file is sorted; empty: as the rows came.
  ParquetRows(std::shared_ptr<ParquetEngine> engine, std::vector<ParquetColumn> columns, std::vector<TargetType> types,
              std::vector<std::size_t> order);
  ~ParquetRows();
  ParquetRows(const ParquetRows&) = delete;
  ParquetRows& operator=(const ParquetRows&) = delete;

  /// Where the values of the next row go.
  RowChunk& row() { return *chunk_; }
  void end_row();
  /// The bytes that were given to row() may go.
  void take_in();
  /// The file, in memory. REQUIRES: the last call.
  UniqueFd finish();
  /// REQUIRES: finish().
  const FileStatistics& statistics() const { return statistics_; }

 private:
  /// `answer`: takes what DuckDB says; null: nobody asks.
  void run(const std::string& sql, FileStatistics* answer = nullptr);
  std::string copy_statement(int descriptor) const;

  const std::shared_ptr<ParquetEngine> engine_;
  const std::vector<ParquetColumn> columns_;
  const std::vector<std::size_t> order_;
  duckdb_connection connection_ = nullptr;
  duckdb_appender appender_ = nullptr;
  std::optional<RowChunk> chunk_;
  FileStatistics statistics_;
};

}  // namespace tailrace::vectors
