#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/query.h"

namespace tailrace::duckdb {

/// Shows the text rows of one answer as an aligned table, whose widths are those of its first rows. Of one thread;
/// lives as long as the answer is read, and no longer than `output`.
class TableText {
 public:
  TableText(std::vector<std::string> names, const QueryOutput& output);
  void add(TextRow row);
  /// Writes what is left, and how many rows there were.
  void finish();

 private:
  void begin();
  void write(const TextRow& row);

  std::vector<std::string> names_;
  const QueryOutput& output_;
  std::vector<std::size_t> widths_;
  std::vector<TextRow> waiting_;
  std::size_t count_ = 0;
  bool measured_ = false;
};

/// A row as a line of CSV, with its end: NULL is nothing, an empty text is "".
std::string csv_line(const TextRow& row);

}  // namespace tailrace::duckdb
