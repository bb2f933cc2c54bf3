#pragma once

#include <string>
#include <vector>

#include "sinks/comparison.h"
#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/table.h"

namespace tailrace::duckdb {

/// Makes the table `temp.tailrace_expected` on `connection`, with the rows as this target would hold them: columns c0,
/// c1 … of the row (NULL where none is to be), b0, b1 … of its key in the order of Relation::match_key(), i, the row's
/// place among `rows`, and present. Rows that are excused (see sinks::Verdict) are left out.
void stage_expected(Connection& connection, const Table& table, const std::vector<sinks::ExpectedRow>& rows);

/// SQL: whether the rows called `row` (with the table's columns) and `staged` have one key.
std::string key_condition(const TableShape& shape, const char* row, const char* staged);

}  // namespace tailrace::duckdb
