#include "vectors/file_statistics.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string_view>

namespace tailrace::vectors {
namespace {

/// filename, count, file_size_bytes, footer_size_bytes, column_statistics, partition_keys.
constexpr idx_t kFooterSize = 3;
constexpr idx_t kColumns = 4;

class Chunk {
 public:
  explicit Chunk(duckdb_result& answer) : chunk_(duckdb_fetch_chunk(answer)) {}
  ~Chunk() {
    if (chunk_ != nullptr) duckdb_destroy_data_chunk(&chunk_);
  }
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;
  bool is_of_one_file() const {
    return chunk_ != nullptr && duckdb_data_chunk_get_size(chunk_) == 1 &&
           duckdb_data_chunk_get_column_count(chunk_) > kColumns;
  }
  duckdb_vector column(idx_t n) const { return duckdb_data_chunk_get_vector(chunk_, n); }

 private:
  duckdb_data_chunk chunk_;
};

std::string_view text(duckdb_vector vector, idx_t row) {
  auto& string = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector))[row];
  return {duckdb_string_t_data(&string), duckdb_string_t_length(string)};
}

/// Calls `entry` with the vectors of keys and values, and the place in them, for each entry of a MAP.
void for_each_entry(duckdb_vector map, idx_t row,
                    const std::function<void(duckdb_vector keys, duckdb_vector values, idx_t at)>& entry) {
  const auto& bounds = static_cast<duckdb_list_entry*>(duckdb_vector_get_data(map))[row];
  const duckdb_vector entries = duckdb_list_vector_get_child(map);
  const duckdb_vector keys = duckdb_struct_vector_get_child(entries, 0);
  const duckdb_vector values = duckdb_struct_vector_get_child(entries, 1);
  for (idx_t n = 0; n < bounds.length; ++n) entry(keys, values, bounds.offset + n);
}

std::uint64_t number(std::string_view digits) {
  std::uint64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

ColumnStatistics column_statistics(duckdb_vector map, idx_t row) {
  ColumnStatistics column;
  std::uint64_t all = 0;
  for_each_entry(map, row, [&column, &all](duckdb_vector keys, duckdb_vector values, idx_t at) {
    const std::string_view key = text(keys, at);
    const std::string_view value = text(values, at);
    if (key == "column_size_bytes") column.bytes = number(value);
    if (key == "num_values") all = number(value);
    if (key == "null_count") column.nulls = number(value);
    if (key == "min") column.min = value;
    if (key == "max") column.max = value;
    if (key == "has_nan") column.has_nan = value == "true";
  });
  column.values = all - std::min(all, column.nulls);
  return column;
}

}  // namespace

bool read_statistics(duckdb_result& answer, FileStatistics& statistics) {
  const Chunk chunk(answer);
  if (!chunk.is_of_one_file()) return false;
  statistics.footer_bytes = *static_cast<std::uint64_t*>(duckdb_vector_get_data(chunk.column(kFooterSize)));
  for_each_entry(chunk.column(kColumns), 0, [&statistics](duckdb_vector keys, duckdb_vector values, idx_t at) {
    statistics.columns.emplace(text(keys, at), column_statistics(values, at));
  });
  return true;
}

}  // namespace tailrace::vectors
