#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/tuple.h"
#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/types.h"
#include "vectors/row_chunk.h"

namespace tailrace::duckdb {

/// Fills DuckDB's vectors with rows of PostgreSQL text and appends them to one table, inside the connection's open
/// transaction. Long texts are referred to, not copied, until their chunk is handed over: the bytes given to put()
/// must stay until the next take_in() or flush(). Owned by whoever writes the table; one thread; dies before its
/// connection.
class RowAppender {
 public:
  /// The table's columns must be `types` in this order, followed by any number of columns that are set by set_*().
  /// `schema` is "temp" for a temporary table. `columns`: names of the columns that are filled, in this order; the
  /// table's others become NULL. Empty: all, as the table has them.
  RowAppender(Connection& connection, const std::string& schema, const std::string& table,
              std::vector<TargetType> types, const std::vector<std::string>& columns = {});
  ~RowAppender();
  RowAppender(const RowAppender&) = delete;
  RowAppender& operator=(const RowAppender&) = delete;

  /// See vectors::RowChunk.
  bool put(std::size_t column, const Field& field) { return chunk_->put(column, field); }
  void set_null(std::size_t column) { chunk_->set_null(column); }
  void set_bool(std::size_t column, bool value) { chunk_->set_bool(column, value); }
  void set_int64(std::size_t column, std::int64_t value) { chunk_->set_int64(column, value); }
  void end_row() {
    if (chunk_->end_row()) take_in();
  }
  /// Copies all complete rows to DuckDB's side: the bytes given to put() may go.
  void take_in();
  /// Hands all complete rows to the table.
  void flush();

 private:
  void check(duckdb_state state);

  duckdb_appender appender_ = nullptr;
  std::unique_ptr<vectors::RowChunk> chunk_;
  std::size_t pending_rows_ = 0;
  std::size_t pending_bytes_ = 0;
};

using vectors::fits;

}  // namespace tailrace::duckdb
