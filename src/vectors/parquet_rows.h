#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
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
  /// One Parquet file of several, which are files in memory: rows by the columns of these names. `compression`: as
  /// DuckDB calls it. Throws RetryError TR853.
  UniqueFd merged(const std::vector<int>& descriptors, std::vector<std::string> order,
                  const std::vector<std::string>& then, const char* compression);
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

/// The rows of one Parquet file (with statistics) while they are gathered, in chunks that DuckDB reads where they are.
/// One owner, one thread. All calls throw RetryError TR853 when there is too little memory.
class ParquetRows {
 public:
  /// `columns`: the first of them are of `types`, which PostgreSQL's texts become; the others are set by the chunk's
  /// set_*(). `order`: places of the columns by which the file is sorted; empty: as the rows came. `compression`: as
  /// DuckDB calls it.
  ParquetRows(std::shared_ptr<ParquetEngine> engine, std::vector<ParquetColumn> columns, std::vector<TargetType> types,
              std::vector<std::size_t> order, const char* compression = "zstd");
  ~ParquetRows();
  ParquetRows(const ParquetRows&) = delete;
  ParquetRows& operator=(const ParquetRows&) = delete;

  /// Where the values of the next row go.
  RowChunk& row();
  void end_row() { row().end_row(); }
  /// The file, in memory. `sorted`: the rows came in their order. REQUIRES: the last call.
  UniqueFd finish(bool sorted = false);
  /// REQUIRES: finish().
  const FileStatistics& statistics() const { return statistics_; }
  /// What it takes in memory without a row, and for each row besides its long values.
  std::size_t least_bytes() const { return width_ * duckdb_vector_size(); }
  std::size_t row_bytes() const { return width_; }

 private:
  /// What DuckDB calls while it reads the rows.
  friend class RowsInMemory;

  void find_types();
  std::string copy_statement(int descriptor, bool sorted) const;

  const std::shared_ptr<ParquetEngine> engine_;
  const std::vector<ParquetColumn> columns_;
  const std::vector<std::size_t> order_;
  const std::vector<TargetType> types_;
  const char* const compression_;
  duckdb_connection connection_ = nullptr;
  std::vector<duckdb_logical_type> logical_;
  /// All but the last one are full.
  std::vector<std::unique_ptr<RowChunk>> chunks_;
  /// Bytes of a row in a chunk.
  std::size_t width_ = 0;
  FileStatistics statistics_;
};

}  // namespace tailrace::vectors
