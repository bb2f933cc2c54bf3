#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/tuple.h"

namespace tailrace {

/// A row as tests write it: texts, nothing for NULL, kUnchanged for a TOAST value that the server did not send.
using RowForTest = std::vector<std::optional<std::string>>;
inline const std::string kUnchanged = "\x01unchanged";

inline std::string tuple_bytes(const RowForTest& row) {
  std::string bytes;
  TupleWriter writer(bytes, static_cast<std::uint16_t>(row.size()));
  for (const auto& value : row) {
    if (!value) {
      writer.null();
    } else if (*value == kUnchanged) {
      writer.unchanged();
    } else {
      writer.text(*value);
    }
  }
  return bytes;
}

}  // namespace tailrace
