#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tailrace::cli {

/// What the comparison of a quiet source with its DuckDB mirror gave for one table.
struct TableProof {
  std::string table;
  std::uint64_t rows = 0;
  bool equal = false;
};

/// Runs one SELECT on the DuckDB mirror and gives the only row's columns as text.
using AskMirror = std::function<std::vector<std::string>(const std::string& sql)>;

/// Compares every table of schema `schema`: the number of rows and a digest over the canonical text of all rows,
/// computed by PostgreSQL on one side and by DuckDB on the other. Nobody may write meanwhile.
/// Throws DefectError for a column whose type has no canonical text in both.
std::vector<TableProof> prove_mirror(const std::string& conninfo, const std::string& schema, const AskMirror& ask);

}  // namespace tailrace::cli
