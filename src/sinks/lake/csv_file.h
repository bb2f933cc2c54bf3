#pragma once

#include <memory>
#include <string>

#include "sinks/lake/row_file.h"
#include "sinks/lake/table_shape.h"

namespace tailrace::lake {

/// A line of names and one for each change, quoted as RFC 4180 says, lines ending in LF, values as PostgreSQL's texts.
/// NULL is nothing at all, an empty text is two quotes; so PostgreSQL's COPY reads and writes it.
class CsvFile final : public RowFile {
 public:
  CsvFile(std::shared_ptr<const TableShape> shape, Codec codec);

  void append(const sinks::RowChange& change) override;
  void take_in() override {}
  std::string finish() override;

 private:
  const std::shared_ptr<const TableShape> shape_;
  const Codec codec_;
  std::string lines_;
  /// Reused from row to row.
  std::string text_;
};

}  // namespace tailrace::lake
