#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sinks/lake/file_form.h"
#include "sinks/lake/row_file.h"
#include "sinks/lake/table_shape.h"
#include "vectors/parquet_rows.h"

namespace tailrace::lake {

/// The bytes of a file in memory.
std::string read_back(int descriptor);

/// One Parquet object: sorted by the table's key and the order of the stream, with statistics.
class ParquetFile final : public RowFile {
 public:
  ParquetFile(std::shared_ptr<vectors::ParquetEngine> engine, std::shared_ptr<const TableShape> shape, FileForm form);

  void append(const sinks::RowChange& change) override;
  void take_in() override {}
  std::string finish() override;
  /// REQUIRES: finish().
  const vectors::FileStatistics& statistics() const { return rows_.statistics(); }
  std::size_t least_bytes() const override;
  std::size_t row_bytes() const override { return rows_.row_bytes(); }

 private:
  void put_extras(const sinks::RowChange& change, bool has_unchanged, vectors::RowChunk& row);
  /// Whether the rows come in the order of their keys so far.
  bool ascends(const vectors::RowChunk& row);

  const std::shared_ptr<const TableShape> shape_;
  vectors::ParquetRows rows_;
  bool sorted_ = true;
  /// Of the last row, while sorted_.
  std::vector<std::int64_t> last_key_;
  /// Reused from row to row.
  std::string text_;
};

}  // namespace tailrace::lake
