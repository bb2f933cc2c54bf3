#pragma once

#include <string>
#include <vector>

#include "model/tuple.h"
#include "sinks/duckdb/arena.h"
#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/types.h"

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

  /// Sets a column of the current row. False: the type cannot hold the value; the row may still be given up.
  /// REQUIRES: the field is null or a value, not unchanged.
  bool put(std::size_t column, const Field& field);
  void set_null(std::size_t column);
  void set_bool(std::size_t column, bool value);
  /// BIGINT, UBIGINT and (as microseconds since 1970) TIMESTAMPTZ columns.
  void set_int64(std::size_t column, std::int64_t value);
  /// The current row is complete; without this call the next values overwrite it.
  void end_row();
  /// Copies all complete rows to DuckDB's side: the bytes given to put() may go.
  void take_in();
  /// Hands all complete rows to the table.
  void flush();

 private:
  struct Slot {
    TargetType type;
    duckdb_vector vector = nullptr;
    void* data = nullptr;
    std::uint64_t* validity = nullptr;
  };

  void renew();
  void check(duckdb_state state);
  bool put_list(Slot& slot, ByteView text);
  void mark_valid(Slot& slot) {
    if (slot.validity != nullptr) duckdb_validity_set_row_valid(slot.validity, row_);
  }

  duckdb_appender appender_ = nullptr;
  duckdb_data_chunk chunk_ = nullptr;
  std::vector<Slot> slots_;
  idx_t row_ = 0;
  idx_t capacity_ = 0;
  std::size_t pending_rows_ = 0;
  std::size_t pending_bytes_ = 0;
  Arena arena_;
  std::vector<char> scratch_;
};

/// Whether `type` holds the value, by PostgreSQL's text; what put() would answer, without a vector.
bool fits(const TargetType& type, ByteView text, std::vector<char>& scratch);

}  // namespace tailrace::duckdb
