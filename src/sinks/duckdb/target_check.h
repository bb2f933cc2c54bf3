#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/spec.h"

namespace tailrace::duckdb {

using TableName = std::pair<std::string, std::string>;

/// DuckDB's names ignore ASCII case.
std::string folded(std::string name);

/// Throws BadConfigError TR608 for a table that could not be addressed in a file that DuckDB calls `catalog`.
void refuse_unaddressable(const TableName& table, const std::string& catalog);

/// Throws RefusedError TR602 when the file has a table or view where one of `wanted` (or its history) would go, other
/// than those of `ours`.
void refuse_foreign_tables(Connection& connection, const DuckdbSpec& spec, const std::vector<TableName>& wanted,
                           const std::set<TableName>& ours);

/// What opening spec.path as a target of spec.pipeline would meet, found without changing anything; in a sentence, when
/// nothing stands in the way. `tables` are those that would be written, as far as they are known; an empty
/// spec.source_id is not compared. Throws RetryError TR601 when somebody holds the file, RefusedError, BadConfigError
/// and CorruptionError as the sink's open() and begin_copy() do.
std::string check_target(const DuckdbSpec& spec, const std::vector<TableName>& tables);

}  // namespace tailrace::duckdb
