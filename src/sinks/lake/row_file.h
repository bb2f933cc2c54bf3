#pragma once

#include <cstddef>
#include <string>

#include "sinks/row_target.h"

namespace tailrace::lake {

/// The rows of one object while they are gathered. One writer owns it, on its thread.
class RowFile {
 public:
  virtual ~RowFile() = default;
  /// REQUIRES: the shape does not refuse the change; its bytes stay until take_in() or finish().
  virtual void append(const sinks::RowChange& change) = 0;
  /// The bytes of what was appended may go.
  virtual void take_in() = 0;
  /// The object's bytes. REQUIRES: the last call.
  virtual std::string finish() = 0;
  /// What it takes in memory without a row, and for each row besides its values.
  virtual std::size_t least_bytes() const { return 4U << 10; }
  virtual std::size_t row_bytes() const { return 16; }
};

}  // namespace tailrace::lake
