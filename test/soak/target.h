#pragma once

#include <duckdb.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "soak/model.h"

/// The few calls of DuckDB's C API that the soak needs, with owners and errors.
namespace tailrace::soak {

/// DuckDB refused or failed. what() is its own text after the name of the step.
class TargetError : public std::runtime_error {
 public:
  TargetError(const std::string& step, const std::string& text) : std::runtime_error(step + ": " + text) {}
};

/// How the file is laid out. Small blocks and row groups make block reuse and early writes happen in every
/// batch.
enum class Layout { kOrdinary, kSmall };

/// What a file is opened with, besides what the soak always sets: names and values of DuckDB's settings;
/// torn_log=keep opens the file as it is, without Tailrace's cut before it.
using Settings = std::vector<std::pair<std::string, std::string>>;

/// An open database file. One per process; may be shared by connections of several threads.
class Database {
 public:
  /// Opens or creates `path` with automatic checkpoints off. Throws TargetError.
  Database(const std::string& path, Layout layout, const Settings& settings = {});
  ~Database() { duckdb_close(&handle_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  duckdb_database handle() const { return handle_; }
  Layout layout() const { return layout_; }
  /// Bytes of an unfinished transaction that were cut off the log before opening.
  uint64_t cut() const { return cut_; }

 private:
  duckdb_database handle_ = nullptr;
  Layout layout_;
  uint64_t cut_ = 0;
};

/// A connection, used by one thread. The database must outlive it.
class Connection {
 public:
  explicit Connection(const Database& database);
  /// Connects and runs `first`, instead of choosing the database's file.
  Connection(const Database& database, const std::string& first);
  ~Connection() { duckdb_disconnect(&handle_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  duckdb_connection handle() const { return handle_; }
  /// Runs one statement; returns the number of rows it changed. Throws TargetError.
  uint64_t run(const std::string& sql);
  /// Runs a query and hands over every chunk of its result. Throws TargetError.
  void read(const std::string& sql, const std::function<void(duckdb_data_chunk)>& take);
  /// The single number a query gives; `otherwise` when it gives no row. Throws TargetError.
  int64_t number(const std::string& sql, int64_t otherwise);

 private:
  duckdb_connection handle_ = nullptr;
};

/// Appends rows of one table by data chunks, inside the connection's open transaction if there is one.
class RowAppender {
 public:
  /// `name` is "schema.table", or "catalog.schema.table". Throws TargetError.
  RowAppender(const Connection& connection, const std::string& name, const std::vector<Column>& columns);
  ~RowAppender();
  RowAppender(const RowAppender&) = delete;
  RowAppender& operator=(const RowAppender&) = delete;

  void append(const std::vector<Cell>& cells);
  /// Sends what is buffered. Without it the rows are lost. Throws TargetError.
  void close();

 private:
  void send();

  duckdb_appender handle_ = nullptr;
  duckdb_data_chunk chunk_ = nullptr;
  std::vector<Column> columns_;
  uint64_t rows_ = 0;
};

/// Reads one cell of a vector as the given kind.
Cell read_cell(duckdb_vector vector, Kind kind, uint64_t row);

/// How a cell compares with the expected one. DuckDB takes 0 and -0 as one, so a lost sign is told apart.
enum class Match { kSame, kSignLost, kDifferent };
Match compare(const Cell& expected, const Cell& found, Kind kind);

}  // namespace tailrace::soak
