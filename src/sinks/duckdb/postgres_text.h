#pragma once

#include <duckdb.h>

#include <string>

#include "sinks/duckdb/types.h"

namespace tailrace::duckdb {

/// Appends the text that PostgreSQL prints, under the source's pinned settings, for the value in `row` of `vector`:
/// what RowAppender would have been given for it. -0 is printed as 0. REQUIRES: the value is not NULL, the vector is of
/// `type`.
void append_postgres_text(const TargetType& type, duckdb_vector vector, idx_t row, std::string& out);

/// Whether the value is not NULL.
bool is_valid(duckdb_vector vector, idx_t row);

/// One scalar by its parts; the rest of append_postgres_text() is made of these.
void append_float(double value, std::string& out);
void append_float(float value, std::string& out);
void append_timestamp(std::int64_t unix_micros, bool with_zone, std::string& out);
void append_interval(duckdb_interval value, std::string& out);

}  // namespace tailrace::duckdb
