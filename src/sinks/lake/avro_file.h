#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sinks/lake/row_file.h"
#include "sinks/lake/table_shape.h"

namespace tailrace::lake {

/// One container file of Avro's (Avro specification, "Object Container Files"), rows in the order of the stream.
class AvroFile final : public RowFile {
 public:
  AvroFile(std::shared_ptr<const TableShape> shape, Codec codec);

  void append(const sinks::RowChange& change) override;
  void take_in() override {}
  std::string finish() override;

 private:
  void put(const vectors::TargetType& type, const Field& field);
  /// False: the type cannot hold it.
  bool put_scalar(const vectors::TargetType& type, ByteView text, std::string& out);
  bool put_list(const vectors::TargetType& type, ByteView text);
  void put_extra(const sinks::RowChange& change, Extra extra);
  void end_block();

  const std::shared_ptr<const TableShape> shape_;
  const Codec codec_;
  std::string sync_;
  /// What is there of the file.
  std::string out_;
  /// The rows of the block that is being filled.
  std::string block_;
  std::int64_t rows_ = 0;
  /// Reused from value to value.
  std::string text_;
  std::vector<char> scratch_;
};

}  // namespace tailrace::lake
