#include "sinks/duckdb/handle.h"

#include <fmt/format.h>

#include <condition_variable>
#include <map>

#include "base/error.h"
#include "base/log.h"
#include "sinks/duckdb/damage.h"
#include "sinks/duckdb/torn_log.h"

namespace tailrace::duckdb {
namespace {

class Config {
 public:
  Config() { duckdb_create_config(&handle_); }
  ~Config() { duckdb_destroy_config(&handle_); }
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;
  void set(const char* name, const std::string& value) {
    if (duckdb_set_config(handle_, name, value.c_str()) == DuckDBError)
      throw DefectError(fmt::format("DuckDB does not know the setting {}", name));
  }
  duckdb_config get() const { return handle_; }

 private:
  duckdb_config handle_ = nullptr;
};

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// DuckDB names the holder as `Conflicting lock is held in PROGRAM (PID n)`.
std::string holder(std::string_view message) {
  const auto from = message.find("held in ");
  if (from == std::string_view::npos) return "another process";
  const auto end = message.find(')', from);
  if (end == std::string_view::npos) return "another process";
  return std::string(message.substr(from + 8, end - from - 7));
}

[[noreturn]] void throw_open_error(const std::string& path, std::string_view message) {
  if (has(message, "Could not set lock"))
    throw RetryError("TR601", fmt::format("{} is held by {}", path, holder(message)),
                     "close it there; Tailrace takes the file as soon as it is free");
  if (speaks_of_damage(message) || has(message, "INTERNAL"))
    throw sinks::DamagedTarget("TR605", fmt::format("DuckDB cannot read {}: {}", path, message),
                               "move the file away (and its .wal) and let Tailrace copy the tables again");
  if (has(message, "not a valid DuckDB") || has(message, "version number"))
    throw RefusedError("TR602", fmt::format("{} is not a DuckDB file that this version reads", path),
                       "name another target file");
  throw RefusedError("TR606", fmt::format("DuckDB cannot open {}: {}", path, message),
                     "see that the directory exists and is writable");
}

/// Errors that speak of the file, the memory or a statement. Others may speak of data: conversions, limits of types,
/// constraints, conflicts.
bool free_of_values(duckdb_error_type type) {
  switch (type) {
    case DUCKDB_ERROR_NOT_IMPLEMENTED:
    case DUCKDB_ERROR_CATALOG:
    case DUCKDB_ERROR_PARSER:
    case DUCKDB_ERROR_SYNTAX:
    case DUCKDB_ERROR_BINDER:
    case DUCKDB_ERROR_CONNECTION:
    case DUCKDB_ERROR_SETTINGS:
    case DUCKDB_ERROR_IO:
    case DUCKDB_ERROR_INTERRUPT:
    case DUCKDB_ERROR_FATAL:
    case DUCKDB_ERROR_INTERNAL:
    case DUCKDB_ERROR_OUT_OF_MEMORY:
    case DUCKDB_ERROR_PERMISSION:
    case DUCKDB_ERROR_DEPENDENCY:
    case DUCKDB_ERROR_MISSING_EXTENSION:
    case DUCKDB_ERROR_AUTOLOAD: return true;
    default: return false;
  }
}

// An entry stays until its file is closed, which is after the last reference to it went: a closing database still
// writes, and holds a lock that any other descriptor of its file would drop.
std::mutex open_files_lock;
std::condition_variable file_closed;
std::map<std::string, std::weak_ptr<Database>>& open_files() {
  static std::map<std::string, std::weak_ptr<Database>> files;
  return files;
}

}  // namespace

void throw_duckdb_error(duckdb_error_type type, std::string_view message, std::string_view doing, ErrorTexts texts) {
  const std::string what =
      fmt::format("DuckDB could not {}: {}", doing,
                  texts == ErrorTexts::kAll || free_of_values(type)
                      ? message
                      : fmt::format("an error whose text is left out, since it may repeat values of rows (type {})",
                                    static_cast<int>(type)));
  // An interrupt while a statement is prepared comes without its class.
  if (message.find("Interrupted!") != std::string_view::npos) type = DUCKDB_ERROR_INTERRUPT;
  // What runs out at a commit comes as a refusal of the transaction.
  if (has(message, "could not allocate block") || has(message, "failed to pin block"))
    type = DUCKDB_ERROR_OUT_OF_MEMORY;
  // So does what befalls the file at a commit.
  if (type == DUCKDB_ERROR_TRANSACTION && (has(message, "No space left") || has(message, "Could not write") ||
                                           has(message, "Could not sync") || speaks_of_damage(message)))
    type = DUCKDB_ERROR_IO;
  switch (type) {
    case DUCKDB_ERROR_OUT_OF_MEMORY:
      throw OutOfMemory("TR607", what, "give the pipeline more memory (limits.memory) or the disk more room");
    case DUCKDB_ERROR_IO:
    case DUCKDB_ERROR_SERIALIZATION:
      if (speaks_of_damage(message))
        throw sinks::DamagedTarget("TR605", what, "move the file away and let Tailrace copy the tables again");
      throw RetryError("TR607", what, "see that the disk of the target has room and works");
    case DUCKDB_ERROR_INTERRUPT:
      throw RetryError("TR622", fmt::format("DuckDB was interrupted while it tried to {}", doing), "try again");
    case DUCKDB_ERROR_FATAL:
    case DUCKDB_ERROR_INTERNAL:
      if (speaks_of_damage(message))
        throw sinks::DamagedTarget("TR605", what, "move the file away and let Tailrace copy the tables again");
      throw InternalFault("TR606", what, "the file is opened again; report this if it comes back");
    default: throw RefusedError("TR606", what, "see the message of DuckDB");
  }
}

std::shared_ptr<Database> Database::open_with(const char* path, const OpenOptions& options) {
  Config config;
  config.set("memory_limit", fmt::format("{}B", options.memory_limit));
  config.set("threads", fmt::format("{}", options.threads));
  config.set("checkpoint_threshold", "1TB");
  config.set("preserve_insertion_order", "false");
  // A checkpoint rewrites at most a few row groups to fill the holes of deleted rows, so that it stays short.
  config.set("max_vacuum_tasks", "4");
  config.set("write_buffer_row_group_count", "2");
  config.set("allocator_flush_threshold", "32MiB");
  config.set("allocator_bulk_deallocation_flush_threshold", "64MiB");
  // A join with up to so many rows hands their places to the scan of the other side, which then skips the rest.
  config.set("dynamic_or_filter_threshold", "1000");
  config.set("autoinstall_known_extensions", "false");
  config.set("autoload_known_extensions", "false");
  config.set("allow_unsigned_extensions", "false");
  if (options.read_only) config.set("access_mode", "READ_ONLY");
  std::shared_ptr<Database> database(new Database());
  char* error = nullptr;
  if (duckdb_open_ext(path, &database->handle_, config.get(), &error) == DuckDBError) {
    const std::string message = error == nullptr ? "" : error;
    duckdb_free(error);
    throw_open_error(path == nullptr ? ":memory:" : path, message);
  }
  return database;
}

std::shared_ptr<Database> Database::open(const std::filesystem::path& path, const OpenOptions& options) {
  auto database = share_or_read(path, options);
  if (database->read_only_ && !options.read_only)
    throw RetryError("TR601", fmt::format("{} is held by a query", path.string()),
                     "Tailrace takes the file as soon as the query is done");
  return database;
}

std::shared_ptr<Database> Database::share_or_read(const std::filesystem::path& path, const OpenOptions& options) {
  std::error_code ignored;
  const auto key = std::filesystem::weakly_canonical(path, ignored).string();
  std::unique_lock lock(open_files_lock);
  for (auto found = open_files().find(key); found != open_files().end(); found = open_files().find(key)) {
    if (auto open = found->second.lock()) return open;
    file_closed.wait(lock);
  }
  if (const std::uint64_t cut = cut_torn_log(path); cut > 0)
    log::info("duckdb.cut", "{}: {} bytes of a transaction that never committed were cut off its log", path.string(),
              cut);
  auto database = open_with(path.c_str(), options);
  database->path_ = path;
  database->read_only_ = options.read_only;
  database->open_files_key_ = key;
  open_files()[key] = database;
  return database;
}

bool Database::is_open(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::lock_guard lock(open_files_lock);
  return open_files().contains(std::filesystem::weakly_canonical(path, ignored).string());
}

Database::~Database() {
  duckdb_close(&handle_);
  if (open_files_key_.empty()) return;
  const std::lock_guard lock(open_files_lock);
  open_files().erase(open_files_key_);
  file_closed.notify_all();
}

Result& Result::operator=(Result&& other) noexcept {
  if (this != &other) {
    reset();
    result_ = other.result_;
    owned_ = std::exchange(other.owned_, false);
  }
  return *this;
}

void Result::reset() {
  if (owned_) duckdb_destroy_result(&result_);
  owned_ = false;
}

Connection::Connection(std::shared_ptr<Database> database) : database_(std::move(database)) {
  if (duckdb_connect(database_->get(), &handle_) == DuckDBError)
    throw RetryError("TR606", "DuckDB gives no connection", "try again");
}

Connection::~Connection() { duckdb_disconnect(&handle_); }

Result Connection::query(const std::string& sql) {
  Result result;
  const auto state = duckdb_query(handle_, sql.c_str(), result.get());
  result.adopt();
  if (state == DuckDBError) {
    const char* message = duckdb_result_error(result.get());
    throw_duckdb_error(duckdb_result_error_type(result.get()), message == nullptr ? "" : message,
                       sql.substr(0, sql.find(' ')), texts_);
  }
  return result;
}

void Connection::roll_back() noexcept {
  Result ignored;
  duckdb_query(handle_, "ROLLBACK", ignored.get());
  ignored.adopt();
}

std::uint64_t Connection::run(const std::string& sql) { return query(sql).rows_changed(); }

std::vector<TextRow> Connection::rows(const std::string& sql) {
  Result result = query(sql);
  std::vector<TextRow> rows;
  read_text_rows(result, [&](TextRow row) { rows.push_back(std::move(row)); });
  return rows;
}

Result Connection::stream(const std::string& sql) {
  duckdb_prepared_statement prepared = nullptr;
  if (duckdb_prepare(handle_, sql.c_str(), &prepared) == DuckDBError) {
    const char* error = duckdb_prepare_error(prepared);
    const std::string message = error == nullptr ? "" : error;
    duckdb_destroy_prepare(&prepared);
    throw_duckdb_error(DUCKDB_ERROR_BINDER, message, "understand the query", texts_);
  }
  Result result;
  duckdb_pending_result pending = nullptr;
  duckdb_state state = duckdb_pending_prepared_streaming(prepared, &pending);
  if (state == DuckDBSuccess) state = duckdb_execute_pending(pending, result.get());
  const char* error = state == DuckDBSuccess ? nullptr : duckdb_pending_error(pending);
  const std::string message = error == nullptr ? "" : error;
  duckdb_destroy_pending(&pending);
  duckdb_destroy_prepare(&prepared);
  result.adopt();
  if (state == DuckDBError) {
    const auto type = duckdb_result_error_type(result.get());
    const char* text = duckdb_result_error(result.get());
    throw_duckdb_error(type, text == nullptr ? message : text, "answer the query", texts_);
  }
  return result;
}

void read_text_rows(Result& result, const std::function<void(TextRow)>& take) {
  const idx_t columns = duckdb_column_count(result.get());
  while (duckdb_data_chunk chunk = duckdb_fetch_chunk(*result.get())) {
    const std::unique_ptr<duckdb_data_chunk, void (*)(duckdb_data_chunk*)> owner(&chunk, duckdb_destroy_data_chunk);
    const idx_t size = duckdb_data_chunk_get_size(chunk);
    for (idx_t r = 0; r < size; ++r) {
      TextRow row;
      for (idx_t c = 0; c < columns; ++c) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, c);
        std::uint64_t* validity = duckdb_vector_get_validity(vector);
        if (validity != nullptr && !duckdb_validity_row_is_valid(validity, r)) {
          row.emplace_back(false, "");
          continue;
        }
        auto* text = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector)) + r;
        row.emplace_back(true, std::string(duckdb_string_t_data(text), duckdb_string_t_length(*text)));
      }
      take(std::move(row));
    }
  }
  // Only a streamed answer fails this late, and it goes to who asked.
  if (const char* error = duckdb_result_error(result.get()); error != nullptr && *error != '\0')
    throw_duckdb_error(duckdb_result_error_type(result.get()), error, "finish the answer", ErrorTexts::kAll);
}

Statement::Statement(Connection& connection, const std::string& sql) {
  if (duckdb_prepare(connection.get(), sql.c_str(), &handle_) == DuckDBSuccess) return;
  const char* error = duckdb_prepare_error(handle_);
  const std::string message = error == nullptr ? "" : error;
  duckdb_destroy_prepare(&handle_);
  throw_duckdb_error(DUCKDB_ERROR_BINDER, message, "prepare a statement");
}

void Statement::check(duckdb_state state) const {
  if (state == DuckDBError) throw DefectError("a value could not be bound to a statement");
}

Statement& Statement::bind(std::uint64_t value) {
  check(duckdb_bind_uint64(handle_, next_++, value));
  return *this;
}
Statement& Statement::bind(std::int64_t value) {
  check(duckdb_bind_int64(handle_, next_++, value));
  return *this;
}
Statement& Statement::bind(std::string_view value) {
  check(duckdb_bind_varchar_length(handle_, next_++, value.data(), value.size()));
  return *this;
}
Statement& Statement::bind_blob(std::string_view value) {
  check(duckdb_bind_blob(handle_, next_++, value.data(), value.size()));
  return *this;
}
Statement& Statement::bind_null() {
  check(duckdb_bind_null(handle_, next_++));
  return *this;
}
Statement& Statement::bind_time(std::int64_t unix_micros) {
  check(duckdb_bind_timestamp_tz(handle_, next_++, duckdb_timestamp{unix_micros}));
  return *this;
}

Result Statement::query() {
  next_ = 1;
  Result result;
  const auto state = duckdb_execute_prepared(handle_, result.get());
  result.adopt();
  if (state == DuckDBError) {
    const char* message = duckdb_result_error(result.get());
    throw_duckdb_error(duckdb_result_error_type(result.get()), message == nullptr ? "" : message, "run a statement");
  }
  return result;
}

}  // namespace tailrace::duckdb
