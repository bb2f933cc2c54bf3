#include "sinks/lake/parquet_file.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "sinks/row_unit.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;
using sinks::RowOperation;
using vectors::identifier;

/// Behind the table's columns, with their types.
constexpr std::array<std::pair<const char*, const char*>, 7> kMetas = {{{kOperation, "VARCHAR"},
                                                                        {kCommitLsn, "UBIGINT"},
                                                                        {kOrdinal, "UBIGINT"},
                                                                        {kSeq, "UBIGINT"},
                                                                        {kCommitTime, "TIMESTAMPTZ"},
                                                                        {kOldRow, "JSON"},
                                                                        {kUnchangedColumns, "JSON"}}};
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

std::string read_back(int descriptor) {
  const off_t size = ::lseek(descriptor, 0, SEEK_END);
  if (size <= 0) throw DefectError("DuckDB made a Parquet file of nothing");
  std::string bytes(static_cast<std::size_t>(size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pread(descriptor, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (n <= 0) throw DefectError("a file in memory cannot be read");
    done += static_cast<std::size_t>(n);
  }
  return bytes;
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

ParquetFile::ParquetFile(std::shared_ptr<ParquetEngine> engine, std::shared_ptr<const TableShape> shape)
    : engine_(std::move(engine)), shape_(std::move(shape)) {
  if (duckdb_connect(engine_->get(), &connection_) == DuckDBError) fail("connect", nullptr);
  make_table();
  if (duckdb_appender_create_ext(connection_, "temp", "main", "rows", &appender_) == DuckDBError)
    fail("take rows", duckdb_appender_error(appender_));
  std::vector<duckdb_logical_type> types;
  for (idx_t n = 0; n < duckdb_appender_column_count(appender_); ++n)
    types.push_back(duckdb_appender_column_type(appender_, n));
  chunk_.emplace(types, shape_->types());
  for (duckdb_logical_type& type : types) duckdb_destroy_logical_type(&type);
}

ParquetFile::~ParquetFile() {
  chunk_.reset();
  if (appender_ != nullptr) {
    duckdb_appender_clear(appender_);
    duckdb_appender_destroy(&appender_);
  }
  duckdb_disconnect(&connection_);
}

void ParquetFile::run(const std::string& sql) {
  duckdb_result result;
  const duckdb_state state = duckdb_query(connection_, sql.c_str(), &result);
  const char* error = duckdb_result_error(&result);
  const std::string message = error == nullptr ? "" : error;
  duckdb_destroy_result(&result);
  if (state == DuckDBError) fail("make a Parquet file", message.c_str());
}

void ParquetFile::make_table() {
  // Names of columns are the reader's affair, so that none of them stands in the way here.
  std::string sql = "CREATE TEMP TABLE rows (";
  for (std::size_t n = 0; n < shape_->types().size(); ++n) sql += fmt::format("c{} {}, ", n, shape_->types()[n].sql());
  for (const auto& [name, type] : kMetas) sql += fmt::format("{} {}, ", name, type);
  sql.replace(sql.size() - 2, 2, ")");
  run(sql);
}

void ParquetFile::put_metas(const RowChange& change) {
  std::size_t column = shape_->types().size();
  chunk_->set_text(column++, operation_name(change.operation));
  chunk_->set_int64(column++, static_cast<std::int64_t>(change.position.commit_end.value()));
  chunk_->set_int64(column++, static_cast<std::int64_t>(change.position.ordinal));
  chunk_->set_int64(column++, static_cast<std::int64_t>(change.seq.value()));
  if (change.operation == RowOperation::kCopied) {
    chunk_->set_null(column++);
  } else {
    chunk_->set_int64(column++, change.commit_time.unix_micros());
  }
  if (change.operation == RowOperation::kUpdate && change.old_row.present()) {
    text_.clear();
    shape_->append_old(change, text_);
    chunk_->set_text(column++, text_);
  } else {
    chunk_->set_null(column++);
  }
  if (change.new_row.present() && sinks::has_unchanged(change.new_row)) {
    text_.clear();
    shape_->json().append_unchanged(change.new_row, text_);
    chunk_->set_text(column, text_);
  } else {
    chunk_->set_null(column);
  }
}

void ParquetFile::append(const RowChange& change) {
  const TupleView row = change.new_row.present() ? change.new_row : change.old_row;
  const std::size_t columns = shape_->types().size();
  if (row.present()) {
    auto fields = row.begin();
    for (std::size_t n = 0; n < columns; ++n) {
      Field field = fields.next();
      if (field.kind == FieldKind::kUnchanged) field = {};
      if (!chunk_->put(n, field)) throw DefectError("a change was not refused that its object cannot hold");
    }
  } else {
    for (std::size_t n = 0; n < columns; ++n) chunk_->set_null(n);
  }
  put_metas(change);
  if (chunk_->end_row() || chunk_->bytes() >= kChunkBytes) take_in();
}

void ParquetFile::take_in() {
  if (chunk_->rows() == 0) return;
  if (duckdb_append_data_chunk(appender_, chunk_->complete()) == DuckDBError)
    fail("take rows", duckdb_appender_error(appender_));
  chunk_->renew();
}

std::string ParquetFile::copy_statement(int descriptor) const {
  std::string columns;
  for (std::size_t n = 0; n < shape_->types().size(); ++n)
    columns += fmt::format("c{} AS {}, ", n, identifier(shape_->relation().columns[n].name));
  for (const auto& [name, type] : kMetas) columns += fmt::format("{}, ", name);
  columns.resize(columns.size() - 2);
  std::string order;
  for (const std::size_t column : shape_->key()) order += fmt::format("c{}, ", column);
  return fmt::format(
      "COPY (SELECT {} FROM temp.rows ORDER BY {}{}, {}) TO '/proc/self/fd/{}' "
      "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)",
      columns, order, kSeq, kOrdinal, descriptor);
}

std::string ParquetFile::finish() {
  take_in();
  if (duckdb_appender_flush(appender_) == DuckDBError) fail("take rows", duckdb_appender_error(appender_));
  const UniqueFd file(::memfd_create("parquet", MFD_CLOEXEC));
  if (!file) throw RetryError("TR853", "there is no memory for a file", "give the machine more memory");
  const std::lock_guard lock(engine_->making());
  run(copy_statement(file.get()));
  return read_back(file.get());
}

}  // namespace tailrace::lake
