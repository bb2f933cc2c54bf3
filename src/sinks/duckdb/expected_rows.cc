#include "sinks/duckdb/expected_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/tuple.h"
#include "sinks/duckdb/key.h"
#include "sinks/duckdb/row_appender.h"
#include "sinks/duckdb/row_image.h"

namespace tailrace::duckdb {
namespace {

using sinks::ExpectedRow;

/// The places of the target's key columns in a tuple of the match key.
std::vector<std::size_t> places_of(const TableShape& shape) {
  const std::vector<std::size_t> key = shape.relation->match_key();
  std::vector<std::size_t> places;
  for (const std::size_t column : shape.key)
    places.push_back(static_cast<std::size_t>(std::ranges::find(key, column) - key.begin()));
  return places;
}

bool is_excused(const Table& table, const std::string& key_tuple, const std::vector<std::size_t>& places,
                Arena& arena) {
  if (table.lettered.empty() && table.incomplete.empty()) return false;
  ByteView key;
  if (!read_key(TupleView(key_tuple), {}, places, arena, key)) return false;
  return table.lettered.contains(std::string(key)) || table.incomplete.contains(std::string(key));
}

/// False when the target cannot hold the row: it then is a dead letter.
bool put(RowAppender& appender, std::size_t width, std::size_t key_columns, const ExpectedRow& row) {
  if (row.row.empty()) {
    for (std::size_t n = 0; n < width; ++n) appender.set_null(n);
  } else {
    FieldWalk walk{TupleView(row.row)};
    for (std::size_t n = 0; n < width; ++n)
      if (!appender.put(n, walk.next())) return false;
  }
  FieldWalk key{TupleView(row.key)};
  for (std::size_t n = 0; n < key_columns; ++n)
    if (!appender.put(width + n, key.next())) return false;
  return true;
}

}  // namespace

void stage_expected(Connection& connection, const Table& table, const std::vector<ExpectedRow>& rows) {
  const TableShape& shape = table.shape;
  std::vector<TargetType> types = shape.types;
  const std::vector<std::size_t> key = shape.relation->match_key();
  std::vector<TargetType> key_types;
  for (const std::size_t column : key) key_types.push_back(shape.types[column]);
  types.insert(types.end(), key_types.begin(), key_types.end());
  connection.run(fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_expected({}, {}, i BIGINT, present BOOLEAN)",
                             declared('c', shape.types), declared('b', key_types)));
  RowAppender appender(connection, "temp", "tailrace_expected", types);
  const std::vector<std::size_t> places = places_of(shape);
  Arena arena;
  for (std::size_t n = 0; n < rows.size(); ++n) {
    if (is_excused(table, rows[n].key, places, arena) || !put(appender, shape.width(), key.size(), rows[n])) continue;
    appender.set_int64(types.size(), static_cast<std::int64_t>(n));
    appender.set_bool(types.size() + 1, !rows[n].row.empty());
    appender.end_row();
  }
  appender.flush();
}

std::string key_condition(const TableShape& shape, const char* row, const char* staged) {
  return equal_columns(*shape.relation, shape.relation->match_key(), row, staged);
}

}  // namespace tailrace::duckdb
