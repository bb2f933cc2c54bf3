#pragma once

#include <memory>
#include <string>

#include "sinks/lake/row_file.h"
#include "sinks/lake/table_shape.h"

namespace tailrace::lake {

/// One JSON object for each change, one line for each object, in the order of the stream.
class JsonFile final : public RowFile {
 public:
  explicit JsonFile(std::shared_ptr<const TableShape> shape) : shape_(std::move(shape)) {}

  void append(const sinks::RowChange& change) override;
  void take_in() override {}
  std::string finish() override { return std::move(lines_); }

 private:
  const std::shared_ptr<const TableShape> shape_;
  std::string lines_;
};

}  // namespace tailrace::lake
