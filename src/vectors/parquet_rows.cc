#include "vectors/parquet_rows.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <string_view>
#include <utility>

#include "base/error.h"

namespace tailrace::vectors {
namespace {

/// Values of a chunk are referred to, so that large ones are handed over before there are many.
constexpr std::size_t kChunkBytes = 4U << 20;

/// The texts of DuckDB's errors may repeat values, so they are left out unless they speak of memory.
[[noreturn]] void fail(const char* doing, const char* message) {
  const std::string_view text = message == nullptr ? "" : message;
  if (text.find("Out of Memory") != std::string_view::npos || text.find("could not allocate") != std::string_view::npos)
    throw RetryError("TR853", fmt::format("DuckDB has too little memory to {}", doing),
                     "give the pipeline more memory (limits.memory)");
  throw DefectError(fmt::format("DuckDB does not {}", doing));
}

}  // namespace

ParquetEngine::ParquetEngine(std::uint64_t memory) {
  duckdb_config config = nullptr;
  duckdb_create_config(&config);
  duckdb_set_config(config, "memory_limit", fmt::format("{}B", memory).c_str());
  duckdb_set_config(config, "threads", "1");
  duckdb_set_config(config, "temp_directory", "");
  duckdb_set_config(config, "autoinstall_known_extensions", "false");
  duckdb_set_config(config, "autoload_known_extensions", "false");
  char* error = nullptr;
  const duckdb_state state = duckdb_open_ext(nullptr, &database_, config, &error);
  duckdb_destroy_config(&config);
  if (state == DuckDBSuccess) return;
  const std::string message = error == nullptr ? "" : error;
  duckdb_free(error);
  fail("begin", message.c_str());
}

ParquetEngine::~ParquetEngine() { duckdb_close(&database_); }

ParquetRows::ParquetRows(std::shared_ptr<ParquetEngine> engine, std::vector<ParquetColumn> columns,
                         std::vector<TargetType> types, std::vector<std::size_t> order)
    : engine_(std::move(engine)), columns_(std::move(columns)), order_(std::move(order)) {
  if (duckdb_connect(engine_->get(), &connection_) == DuckDBError) fail("connect", nullptr);
  // Names of columns are the reader's affair, so that none of them stands in the way here.
  std::string sql = "CREATE TEMP TABLE rows (";
  for (std::size_t n = 0; n < columns_.size(); ++n) sql += fmt::format("c{} {}, ", n, columns_[n].type);
  sql.replace(sql.size() - 2, 2, ")");
  run(sql);
  if (duckdb_appender_create_ext(connection_, "temp", "main", "rows", &appender_) == DuckDBError)
    fail("take rows", duckdb_appender_error(appender_));
  std::vector<duckdb_logical_type> logical;
  for (idx_t n = 0; n < duckdb_appender_column_count(appender_); ++n)
    logical.push_back(duckdb_appender_column_type(appender_, n));
  chunk_.emplace(logical, std::move(types));
  for (duckdb_logical_type& type : logical) duckdb_destroy_logical_type(&type);
}

ParquetRows::~ParquetRows() {
  chunk_.reset();
  if (appender_ != nullptr) {
    duckdb_appender_clear(appender_);
    duckdb_appender_destroy(&appender_);
  }
  duckdb_disconnect(&connection_);
}

void ParquetRows::run(const std::string& sql, FileStatistics* answer) {
  duckdb_result result;
  const duckdb_state state = duckdb_query(connection_, sql.c_str(), &result);
  const char* error = duckdb_result_error(&result);
  const std::string message = error == nullptr ? "" : error;
  const bool is_known = state != DuckDBError && answer != nullptr && read_statistics(result, *answer);
  duckdb_destroy_result(&result);
  if (state == DuckDBError) fail("make a Parquet file", message.c_str());
  if (answer != nullptr && !is_known)
    throw DefectError("DuckDB says of a Parquet file something else than its statistics");
}

void ParquetRows::end_row() {
  if (chunk_->end_row() || chunk_->bytes() >= kChunkBytes) take_in();
}

void ParquetRows::take_in() {
  if (chunk_->rows() == 0) return;
  if (duckdb_append_data_chunk(appender_, chunk_->complete()) == DuckDBError)
    fail("take rows", duckdb_appender_error(appender_));
  chunk_->renew();
}

std::string ParquetRows::copy_statement(int descriptor) const {
  std::string listed;
  for (std::size_t n = 0; n < columns_.size(); ++n)
    listed += fmt::format("c{} AS {}, ", n, identifier(columns_[n].name));
  listed.resize(listed.size() - 2);
  std::string order;
  for (const std::size_t column : order_) order += fmt::format("{}c{}", order.empty() ? " ORDER BY " : ", ", column);
  return fmt::format(
      "COPY (SELECT {} FROM temp.rows{}) TO '/proc/self/fd/{}' "
      "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false, RETURN_STATS true)",
      listed, order, descriptor);
}

UniqueFd ParquetRows::finish() {
  take_in();
  if (duckdb_appender_flush(appender_) == DuckDBError) fail("take rows", duckdb_appender_error(appender_));
  UniqueFd file(::memfd_create("parquet", MFD_CLOEXEC));
  if (!file) throw RetryError("TR853", "there is no memory for a file", "give the machine more memory");
  const std::lock_guard lock(engine_->making());
  run(copy_statement(file.get()), &statistics_);
  return file;
}

}  // namespace tailrace::vectors
