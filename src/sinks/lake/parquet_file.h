#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "duckdb.h"
#include "sinks/lake/row_file.h"
#include "sinks/lake/table_shape.h"
#include "vectors/row_chunk.h"

namespace tailrace::lake {

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

/// One Parquet object: sorted by the table's key and the order of the stream, zstd, with statistics.
class ParquetFile final : public RowFile {
 public:
  ParquetFile(std::shared_ptr<ParquetEngine> engine, std::shared_ptr<const TableShape> shape);
  ~ParquetFile() override;
  ParquetFile(const ParquetFile&) = delete;
  ParquetFile& operator=(const ParquetFile&) = delete;

  void append(const sinks::RowChange& change) override;
  void take_in() override;
  std::string finish() override;

 private:
  void run(const std::string& sql);
  void make_table();
  void put_metas(const sinks::RowChange& change);
  std::string copy_statement(int descriptor) const;

  const std::shared_ptr<ParquetEngine> engine_;
  const std::shared_ptr<const TableShape> shape_;
  duckdb_connection connection_ = nullptr;
  duckdb_appender appender_ = nullptr;
  std::optional<vectors::RowChunk> chunk_;
  /// Reused from row to row.
  std::string text_;
};

}  // namespace tailrace::lake
