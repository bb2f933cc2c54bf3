#pragma once

#include <memory>
#include <string>

#include "sinks/lake/row_file.h"
#include "sinks/lake/table_shape.h"
#include "vectors/parquet_rows.h"

namespace tailrace::lake {

/// One Parquet object: sorted by the table's key and the order of the stream, zstd, with statistics.
class ParquetFile final : public RowFile {
 public:
  ParquetFile(std::shared_ptr<vectors::ParquetEngine> engine, std::shared_ptr<const TableShape> shape);

  void append(const sinks::RowChange& change) override;
  void take_in() override { rows_.take_in(); }
  std::string finish() override;
  /// REQUIRES: finish().
  const vectors::FileStatistics& statistics() const { return rows_.statistics(); }

 private:
  void put_metas(const sinks::RowChange& change);

  const std::shared_ptr<const TableShape> shape_;
  vectors::ParquetRows rows_;
  /// Reused from row to row.
  std::string text_;
};

}  // namespace tailrace::lake
