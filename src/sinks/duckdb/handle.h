#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "duckdb.h"

namespace tailrace::duckdb {

/// DuckDB had too little memory for what it was asked (TR607).
class OutOfMemory final : public RetryError {
 public:
  using RetryError::RetryError;
};

/// An error inside DuckDB itself (TR606).
class InternalFault final : public RetryError {
 public:
  using RetryError::RetryError;
};

/// How a database file is opened.
struct OpenOptions {
  std::uint64_t memory_limit = 256ULL << 20;
  unsigned threads = 2;
  bool read_only = false;
};

/// An open DuckDB file. Shared by the connections on it; closed with the last of them. DuckDB's own locks do not stop
/// a second opening by the same process, so a process opens a path once and shares that.
class Database {
 public:
  /// Cuts a torn log off first (torn_log.h), and waits for a database of this process on the same file that is just
  /// being closed.
  /// Throws RetryError when another process holds the file or a question of this process has it open read-only,
  /// DamagedTarget when DuckDB calls it damaged, RefusedError when it cannot be opened for any other reason.
  static std::shared_ptr<Database> open(const std::filesystem::path& path, const OpenOptions& options);
  /// What this process has open at that path, or the file opened by `options`.
  static std::shared_ptr<Database> share_or_read(const std::filesystem::path& path, const OpenOptions& options);
  /// Shared with nobody, gone with its last connection.
  static std::shared_ptr<Database> in_memory(const OpenOptions& options) { return open_with(nullptr, options); }
  /// Whether somebody in this process has the file open.
  static bool is_open(const std::filesystem::path& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  duckdb_database get() const { return handle_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  Database() = default;
  static std::shared_ptr<Database> open_with(const char* path, const OpenOptions& options);

  duckdb_database handle_ = nullptr;
  std::filesystem::path path_;
  bool read_only_ = false;
  std::string open_files_key_;  // empty: not in the list of open files
};

/// Rows of an answer, all in memory. Owner: whoever asked.
class Result {
 public:
  Result() = default;
  Result(Result&& other) noexcept : result_(other.result_), owned_(std::exchange(other.owned_, false)) {}
  Result& operator=(Result&& other) noexcept;
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;
  ~Result() { reset(); }

  duckdb_result* get() { return &result_; }
  void adopt() { owned_ = true; }
  /// Of a DELETE, INSERT or UPDATE.
  std::uint64_t rows_changed() { return duckdb_rows_changed(&result_); }

 private:
  void reset();

  duckdb_result result_{};
  bool owned_ = false;
};

/// Text of the values of one row; false in front: NULL.
using TextRow = std::vector<std::pair<bool, std::string>>;

/// Reads an answer whose columns are all VARCHAR or BLOB, row by row. Throws what interrupted it.
void read_text_rows(Result& result, const std::function<void(TextRow)>& take);

/// Which of DuckDB's own texts an error repeats: those that cannot hold values of rows, or all.
enum class ErrorTexts : std::uint8_t { kWithoutValues, kAll };

/// One connection, with at most one transaction open. One thread at a time; interrupt() from any thread.
class Connection {
 public:
  explicit Connection(std::shared_ptr<Database> database);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  duckdb_connection get() const { return handle_; }
  const std::shared_ptr<Database>& database() const { return database_; }

  /// Runs one statement and gives the rows it changed. Throws by DuckDB's error class.
  std::uint64_t run(const std::string& sql);
  Result query(const std::string& sql);
  /// The answer is produced while it is read (see read_text_rows), by this thread.
  Result stream(const std::string& sql);
  /// The answer's values as text (BLOBs as raw bytes).
  std::vector<TextRow> rows(const std::string& sql);
  /// Gives up the open transaction. One that DuckDB has given up itself answers with an error, which says nothing new.
  void roll_back() noexcept;
  void interrupt() { duckdb_interrupt(handle_); }
  /// Who asks here reads the rows anyway: errors may repeat their values.
  void show_values_in_errors() { texts_ = ErrorTexts::kAll; }

 private:
  std::shared_ptr<Database> database_;
  duckdb_connection handle_ = nullptr;
  ErrorTexts texts_ = ErrorTexts::kWithoutValues;
};

/// Throws what DuckDB's error asks for. `doing` says what was tried, without values.
[[noreturn]] void throw_duckdb_error(duckdb_error_type type, std::string_view message, std::string_view doing,
                                     ErrorTexts texts = ErrorTexts::kWithoutValues);

/// A prepared statement. Belongs to a connection and dies before it.
class Statement {
 public:
  Statement(Connection& connection, const std::string& sql);
  ~Statement() { duckdb_destroy_prepare(&handle_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::uint64_t value);
  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view value);
  Statement& bind_blob(std::string_view value);
  Statement& bind_null();
  /// Microseconds since 1970.
  Statement& bind_time(std::int64_t unix_micros);
  /// Runs with what was bound, and forgets it. Gives the rows it changed.
  std::uint64_t run() { return query().rows_changed(); }
  Result query();

 private:
  void check(duckdb_state state) const;

  duckdb_prepared_statement handle_ = nullptr;
  idx_t next_ = 1;
};

}  // namespace tailrace::duckdb
