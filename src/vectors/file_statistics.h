#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "duckdb.h"

namespace tailrace::vectors {

/// Of one column of a Parquet file, or of the elements of one of lists. Bounds as DuckDB writes such values as text;
/// nothing: not known. A value.
struct ColumnStatistics {
  std::uint64_t bytes = 0;
  std::uint64_t values = 0;
  std::uint64_t nulls = 0;
  std::optional<std::string> min;
  std::optional<std::string> max;
  /// Of floats.
  std::optional<bool> has_nan;
};

/// What a catalog tells of a Parquet file, so that readers need not open it. A value.
struct FileStatistics {
  std::uint64_t footer_bytes = 0;
  /// By the path of names as SQL writes it: `"a"`, of elements `"a"."element"`.
  std::map<std::string, ColumnStatistics> columns;
};

/// Reads the answer of DuckDB's COPY with RETURN_STATS. False: it is another one.
bool read_statistics(duckdb_result& answer, FileStatistics& statistics);

}  // namespace tailrace::vectors
