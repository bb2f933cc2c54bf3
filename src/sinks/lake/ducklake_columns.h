#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sinks/lake/table_shape.h"
#include "vectors/types.h"

namespace tailrace::lake {

/// A column of a file as DuckLake has it. A value.
struct DuckLakeColumn {
  std::string name;
  /// "int32"; of a list "list".
  std::string type;
  /// Of a list: its elements' type; else empty.
  std::string element;
  /// The source's number of the column; 0: it is one of the sink's own, or not known.
  std::int16_t attnum = 0;
};

/// The type of DuckLake for a type of Parquet's columns (element's type of a list).
std::string ducklake_type(const vectors::TargetType& type);
/// Whether DuckLake reads files with columns of the one type as the other.
bool can_widen(std::string_view from, std::string_view into);
/// The columns that files of this shape have, the table's own first.
std::vector<DuckLakeColumn> ducklake_columns(const TableShape& shape);

}  // namespace tailrace::lake
