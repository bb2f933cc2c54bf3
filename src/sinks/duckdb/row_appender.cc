#include "sinks/duckdb/row_appender.h"

#include <utility>

namespace tailrace::duckdb {
namespace {

// DuckDB copies what it is given into its own buffers; these bounds keep that copy small.
constexpr std::size_t kFlushRows = 61440;
constexpr std::size_t kFlushBytes = 16 << 20;

}  // namespace

RowAppender::RowAppender(Connection& connection, const std::string& schema, const std::string& table,
                         std::vector<TargetType> types, const std::vector<std::string>& columns) {
  const bool temporary = schema == "temp";
  const auto state = duckdb_appender_create_ext(connection.get(), temporary ? "temp" : nullptr,
                                                temporary ? "main" : schema.c_str(), table.c_str(), &appender_);
  if (state == DuckDBError) {
    const char* error = duckdb_appender_error(appender_);
    const std::string message = error == nullptr ? "" : error;
    duckdb_appender_destroy(&appender_);
    throw_duckdb_error(DUCKDB_ERROR_CATALOG, message, "append to " + schema + "." + table);
  }
  for (const std::string& column : columns) check(duckdb_appender_add_column(appender_, column.c_str()));
  const idx_t count = duckdb_appender_column_count(appender_);
  std::vector<duckdb_logical_type> logical;
  for (idx_t n = 0; n < count; ++n) logical.push_back(duckdb_appender_column_type(appender_, n));
  chunk_ = std::make_unique<vectors::RowChunk>(logical, std::move(types));
  for (auto& type : logical) duckdb_destroy_logical_type(&type);
}

RowAppender::~RowAppender() {
  duckdb_appender_clear(appender_);
  duckdb_appender_destroy(&appender_);
}

void RowAppender::check(duckdb_state state) {
  if (state == DuckDBSuccess) return;
  duckdb_error_data data = duckdb_appender_error_data(appender_);
  const auto type = duckdb_error_data_error_type(data);
  const char* text = duckdb_error_data_message(data);
  const std::string message = text == nullptr ? "" : text;
  duckdb_destroy_error_data(&data);
  throw_duckdb_error(type, message, "append rows");
}

void RowAppender::take_in() {
  if (chunk_->rows() == 0) return;
  pending_rows_ += chunk_->rows();
  pending_bytes_ += chunk_->bytes();
  check(duckdb_append_data_chunk(appender_, chunk_->complete()));
  chunk_->renew();
  if (pending_rows_ < kFlushRows && pending_bytes_ < kFlushBytes) return;
  check(duckdb_appender_flush(appender_));
  pending_rows_ = 0;
  pending_bytes_ = 0;
}

void RowAppender::flush() {
  take_in();
  if (pending_rows_ == 0) return;
  check(duckdb_appender_flush(appender_));
  pending_rows_ = 0;
  pending_bytes_ = 0;
}

}  // namespace tailrace::duckdb
