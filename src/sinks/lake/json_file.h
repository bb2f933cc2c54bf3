#pragma once

#include <memory>
#include <string>
#include <utility>

#include "sinks/lake/row_file.h"
#include "sinks/lake/table_shape.h"

namespace tailrace::lake {

/// One JSON object for each change, one line for each object, in the order of the stream.
class JsonFile final : public RowFile {
 public:
  JsonFile(std::shared_ptr<const TableShape> shape, Codec codec) : shape_(std::move(shape)), codec_(codec) {}

  void append(const sinks::RowChange& change) override;
  void take_in() override {}
  std::string finish() override;

 private:
  void append_row(const sinks::RowChange& change);
  void append_extra(const sinks::RowChange& change, const ExtraColumn& extra);

  const std::shared_ptr<const TableShape> shape_;
  const Codec codec_;
  std::string lines_;
  /// Reused from row to row.
  std::string row_;
};

}  // namespace tailrace::lake
