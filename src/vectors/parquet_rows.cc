#include "vectors/parquet_rows.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace tailrace::vectors {
namespace {

/// DuckDB's name for the function that gives a file's rows.
constexpr const char* kRows = "rows_in_memory";
/// Values in a dictionary: a fifth of a row group's, but not more than these. What has more of them is looked up in
/// vain while they are gathered, value by value, which costs more than it saves.
constexpr std::size_t kLargestDictionary = 4096;
constexpr std::size_t kRowsForValue = 5;

/// The texts of DuckDB's errors may repeat values, so they are left out unless they speak of memory.
[[noreturn]] void fail(const char* doing, const char* message) {
  const std::string_view text = message == nullptr ? "" : message;
  if (text.find("Out of Memory") != std::string_view::npos || text.find("could not allocate") != std::string_view::npos)
    throw RetryError("TR853", fmt::format("DuckDB has too little memory to {}", doing),
                     "give the pipeline more memory (limits.memory)");
  throw DefectError(fmt::format("DuckDB does not {}", doing));
}

std::size_t width_of(duckdb_logical_type type) {
  switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_BOOLEAN: return 1;
    case DUCKDB_TYPE_SMALLINT: return 2;
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DATE: return 4;
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_DOUBLE:
    case DUCKDB_TYPE_TIME:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ: return 8;
    default: return 16;
  }
}

/// `answer`: takes what DuckDB says of the file that it makes; null: nobody asks.
void run(duckdb_connection connection, const std::string& sql, const char* doing, FileStatistics* answer = nullptr) {
  duckdb_result result;
  const duckdb_state state = duckdb_query(connection, sql.c_str(), &result);
  const char* error = duckdb_result_error(&result);
  const std::string message = error == nullptr ? "" : error;
  const bool is_known = state != DuckDBError && answer != nullptr && read_statistics(result, *answer);
  duckdb_destroy_result(&result);
  if (state == DuckDBError) fail(doing, message.c_str());
  if (answer != nullptr && !is_known)
    throw DefectError("DuckDB says of a Parquet file something else than its statistics");
}

std::string copy_options(const char* compression) {
  // DuckDB does not find binary values by its own Bloom filters, and keys, by which files are sorted, need none.
  // pyarrow does not read every file that DuckDB writes with the encodings of version 2.
  return fmt::format("FORMAT parquet, COMPRESSION {}, PARQUET_VERSION V1, USE_TMP_FILE false, WRITE_BLOOM_FILTER false",
                     compression);
}

UniqueFd file_in_memory() {
  UniqueFd file(::memfd_create("parquet", MFD_CLOEXEC));
  if (!file) throw RetryError("TR853", "there is no memory for a file", "give the machine more memory");
  return file;
}

}  // namespace

/// A table function of DuckDB's over the chunks of a ParquetRows, whose address is its argument: the chunks are read
/// where they are.
class RowsInMemory {
 public:
  static void add_to(duckdb_connection connection) {
    duckdb_table_function function = duckdb_create_table_function();
    duckdb_table_function_set_name(function, kRows);
    duckdb_logical_type number = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);
    duckdb_table_function_add_parameter(function, number);
    duckdb_destroy_logical_type(&number);
    duckdb_table_function_set_bind(function, bind);
    duckdb_table_function_set_init(function, init);
    duckdb_table_function_set_function(function, give);
    const duckdb_state state = duckdb_register_table_function(connection, function);
    duckdb_destroy_table_function(&function);
    if (state == DuckDBError) fail("take a function", nullptr);
  }

 private:
  static void bind(duckdb_bind_info info) {
    duckdb_value value = duckdb_bind_get_parameter(info, 0);
    auto* rows = reinterpret_cast<ParquetRows*>(duckdb_get_int64(value));
    duckdb_destroy_value(&value);
    for (std::size_t n = 0; n < rows->logical_.size(); ++n)
      duckdb_bind_add_result_column(info, fmt::format("c{}", n).c_str(), rows->logical_[n]);
    duckdb_bind_set_bind_data(info, rows, nullptr);
  }
  static void init(duckdb_init_info info) {
    duckdb_init_set_max_threads(info, 1);
    duckdb_init_set_init_data(info, new std::size_t(0), [](void* next) { delete static_cast<std::size_t*>(next); });
  }
  static void give(duckdb_function_info info, duckdb_data_chunk out) {
    auto* rows = static_cast<ParquetRows*>(duckdb_function_get_bind_data(info));
    auto* next = static_cast<std::size_t*>(duckdb_function_get_init_data(info));
    if (*next == rows->chunks_.size()) return duckdb_data_chunk_set_size(out, 0);
    RowChunk& chunk = *rows->chunks_[(*next)++];
    duckdb_data_chunk complete = chunk.complete();
    for (idx_t n = 0; n < rows->logical_.size(); ++n)
      duckdb_vector_reference_vector(duckdb_data_chunk_get_vector(out, n), duckdb_data_chunk_get_vector(complete, n));
    duckdb_data_chunk_set_size(out, chunk.rows());
  }
};

ParquetEngine::ParquetEngine(std::uint64_t memory) {
  duckdb_config config = nullptr;
  duckdb_create_config(&config);
  duckdb_set_config(config, "memory_limit", fmt::format("{}B", memory).c_str());
  duckdb_set_config(config, "threads", "1");
  duckdb_set_config(config, "temp_directory", "");
  // Files are known by their descriptors, whose numbers come again.
  duckdb_set_config(config, "enable_external_file_cache", "false");
  duckdb_set_config(config, "autoinstall_known_extensions", "false");
  duckdb_set_config(config, "autoload_known_extensions", "false");
  char* error = nullptr;
  const duckdb_state state = duckdb_open_ext(nullptr, &database_, config, &error);
  duckdb_destroy_config(&config);
  if (state == DuckDBSuccess) {
    duckdb_connection connection = nullptr;
    if (duckdb_connect(database_, &connection) == DuckDBError) fail("connect", nullptr);
    RowsInMemory::add_to(connection);
    duckdb_disconnect(&connection);
    return;
  }
  const std::string message = error == nullptr ? "" : error;
  duckdb_free(error);
  fail("begin", message.c_str());
}

ParquetEngine::~ParquetEngine() { duckdb_close(&database_); }

UniqueFd ParquetEngine::merged(const std::vector<int>& descriptors, std::vector<std::string> order,
                               const std::vector<std::string>& then, const char* compression) {
  order.insert(order.end(), then.begin(), then.end());
  std::string files;
  for (const int descriptor : descriptors)
    files += fmt::format("{}'/proc/self/fd/{}'", files.empty() ? "" : ", ", descriptor);
  std::string by;
  for (const std::string& column : order) by += (by.empty() ? " ORDER BY " : ", ") + identifier(column);
  UniqueFd file = file_in_memory();
  const std::lock_guard lock(making_);
  duckdb_connection connection = nullptr;
  if (duckdb_connect(database_, &connection) == DuckDBError) fail("connect", nullptr);
  const std::unique_ptr<duckdb_connection, void (*)(duckdb_connection*)> closed(&connection, duckdb_disconnect);
  run(connection,
      fmt::format("COPY (SELECT * FROM read_parquet([{}]){}) TO '/proc/self/fd/{}' "
                  "({})",
                  files, by, file.get(), copy_options(compression)),
      "merge Parquet files");
  return file;
}

ParquetRows::ParquetRows(std::shared_ptr<ParquetEngine> engine, std::vector<ParquetColumn> columns,
                         std::vector<TargetType> types, std::vector<std::size_t> order, const char* compression)
    : engine_(std::move(engine)),
      columns_(std::move(columns)),
      order_(std::move(order)),
      types_(std::move(types)),
      compression_(compression) {
  if (duckdb_connect(engine_->get(), &connection_) == DuckDBError) fail("connect", nullptr);
  find_types();
}

ParquetRows::~ParquetRows() {
  chunks_.clear();
  for (duckdb_logical_type& type : logical_) duckdb_destroy_logical_type(&type);
  duckdb_disconnect(&connection_);
}

void ParquetRows::find_types() {
  std::string sql;
  for (const ParquetColumn& column : columns_)
    sql += fmt::format("{}NULL::{}", sql.empty() ? "SELECT " : ", ", column.type);
  duckdb_result result;
  const bool known = duckdb_query(connection_, sql.c_str(), &result) == DuckDBSuccess;
  for (idx_t n = 0; known && n < duckdb_column_count(&result); ++n) {
    logical_.push_back(duckdb_column_logical_type(&result, n));
    width_ += width_of(logical_.back());
  }
  duckdb_destroy_result(&result);
  if (!known) fail("know a type", nullptr);
}

RowChunk& ParquetRows::row() {
  if (chunks_.empty() || chunks_.back()->rows() == duckdb_vector_size())
    chunks_.push_back(std::make_unique<RowChunk>(logical_, types_, ChunkTexts::kKept));
  return *chunks_.back();
}

std::string ParquetRows::copy_statement(int descriptor, bool sorted) const {
  std::string listed;
  for (std::size_t n = 0; n < columns_.size(); ++n)
    listed += fmt::format("c{} AS {}, ", n, identifier(columns_[n].name));
  listed.resize(listed.size() - 2);
  std::string order;
  if (!sorted)
    for (const std::size_t column : order_) order += fmt::format("{}c{}", order.empty() ? " ORDER BY " : ", ", column);
  std::size_t rows = 0;
  for (const std::unique_ptr<RowChunk>& chunk : chunks_) rows += chunk->rows();
  return fmt::format(
      "COPY (SELECT {} FROM {}({}){}) TO '/proc/self/fd/{}' "
      "({}, DICTIONARY_SIZE_LIMIT {}, RETURN_STATS true)",
      listed, kRows, reinterpret_cast<std::intptr_t>(this), order, descriptor, copy_options(compression_),
      std::min(kLargestDictionary, rows / kRowsForValue));
}

UniqueFd ParquetRows::finish(bool sorted) {
  UniqueFd file = file_in_memory();
  const std::lock_guard lock(engine_->making());
  run(connection_, copy_statement(file.get(), sorted), "make a Parquet file", &statistics_);
  return file;
}

}  // namespace tailrace::vectors
