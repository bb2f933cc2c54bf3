#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace tailrace::postgres {

/// Rewrites rows of `COPY ... TO STDOUT` (text format, PostgreSQL documentation, "COPY", "Text Format") as tuples in
/// pgoutput's form, the one in which the stream sends the same row. Pure.
class CopyTextDecoder {
 public:
  explicit CopyTextDecoder(std::uint16_t columns) : columns_(columns) {}

  /// Room that decode() may need for a line of `length` bytes.
  std::size_t most_bytes(std::size_t length) const { return length + 5 * std::size_t{columns_} + 2 + kSlack; }

  /// Writes one line (with its line feed) as a tuple to `out` and gives its end.
  /// REQUIRES: most_bytes(line.size()) bytes of room. Throws BadDataError (TR311) when the line is not what COPY sends
  /// or has another number of columns.
  char* decode(ByteView line, char* out) const;
  /// The same for a line and a tuple that lie in files: what is done is let go of (base/let_go.h).
  char* decode_long(ByteView line, char* out) const;

 private:
  template <typename CopyPlain>
  char* decode_with(ByteView line, char* out, CopyPlain copy_plain) const;

  static constexpr std::size_t kSlack = 16;
  std::uint16_t columns_;
};

}  // namespace tailrace::postgres
