#pragma once

#include <memory>

#include "sinks/comparison.h"
#include "sinks/duckdb/spec.h"

namespace tailrace::duckdb {

/// The DuckDB side of a comparison (see sinks::Comparison): reads the file beside the sink of this process, each look
/// in one read-only view of it. Rows are hashed here, by the same text as at the source. `history` and `wanted` of the
/// spec do not matter.
std::unique_ptr<sinks::Comparison> compare_duckdb(const DuckdbSpec& spec);

}  // namespace tailrace::duckdb
