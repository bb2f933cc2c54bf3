#pragma once

#include <initializer_list>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/lsn.h"
#include "base/time.h"
#include "sources/postgres/server_place.h"
#include "sources/postgres/spec.h"

struct pg_conn;
struct pg_result;

namespace tailrace::postgres {

/// Rows of a query, as text. Owns them; movable. Any thread, one at a time.
class Rows {
 public:
  explicit Rows(pg_result* result);
  std::size_t size() const { return rows_; }
  bool empty() const { return rows_ == 0; }
  /// The value's text; empty for NULL.
  std::string_view at(std::size_t row, std::size_t column) const;
  bool is_null(std::size_t row, std::size_t column) const;
  /// The value as a number; 0 for NULL. Throws DefectError when it is none.
  std::int64_t number(std::size_t row, std::size_t column) const;
  std::uint64_t unsigned_number(std::size_t row, std::size_t column) const;
  Oid oid(std::size_t row, std::size_t column) const;
  /// The value as an LSN; 0 for NULL.
  Lsn lsn(std::size_t row, std::size_t column) const;
  /// Booleans read 't' and 'f'.
  bool flag(std::size_t row, std::size_t column) const { return at(row, column) == "t"; }

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
  std::size_t rows_ = 0;
};

enum class ConnectionKind { kSql, kReplication };

/// A session with the source's database, its settings pinned so that every value has one text form wherever it is read
/// (same on all server versions, and the same for COPY and stream). One thread at a time.
class Connection {
 public:
  /// Connects; a stop request ends the attempt with a RetryError. Throws as throw_connection_error does, BadConfigError
  /// (TR129) for a conninfo that cannot be read.
  /// Where the conninfo lists several servers they are tried one by one, each for connect_timeout.
  static std::unique_ptr<Connection> open(const SourceSpec& spec, ConnectionKind kind, std::stop_token stop = {});
  /// The same, to one of those servers only.
  static std::unique_ptr<Connection> open_at(const ServerPlace& place, const SourceSpec& spec, ConnectionKind kind,
                                             std::stop_token stop = {});
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// From here on queries are given up when `stop` is requested or nothing has come by `deadline`: they throw
  /// RetryError (TR101), and the connection is of no more use. Without this call they wait until the server has said
  /// nothing for the silence_limit: then they throw ReconnectError (TR130).
  void give_up_on(std::stop_token stop, SteadyClock::time_point deadline = SteadyClock::time_point::max());

  /// One or more statements without parameters (the only form on replication connections); the last one's rows.
  /// Throws as throw_server_error does; `doing` completes "while ...".
  Rows query(const std::string& sql, std::string_view doing);
  /// One statement with text parameters $1, $2 …
  Rows query(const std::string& sql, const std::vector<std::string>& parameters, std::string_view doing);

  std::string quoted_name(std::string_view name) const;
  std::string quoted_text(std::string_view text) const;
  /// As server_version_num: 150018.
  int server_version() const;
  std::string server_version_text() const;
  /// 0 for a session that the server (or a pooler in between) gave no process id.
  int backend_pid() const;
  /// The server that was reached.
  ServerPlace place() const;
  pg_conn* handle() const { return connection_; }
  /// Between queries: the server has said something by itself, mostly that it is going away.
  bool has_news() const;

 private:
  explicit Connection(pg_conn* connection) : connection_(connection) {}
  void finish_connecting(const std::stop_token& stop, SteadyClock::time_point deadline);
  void pin_settings(ConnectionKind kind);
  /// Waits until `events` (of poll) are there, for a moment at most; throws when this is to be given up.
  void await(short events, std::string_view doing);
  /// Sends what was queued and gives the last result.
  Rows finish_query(bool queued, std::string_view doing);
  Rows checked(pg_result* result, std::string_view doing);

  pg_conn* connection_;
  std::chrono::milliseconds silence_limit_{0};
  SteadyClock::time_point last_heard_;
  std::stop_token stop_;
  SteadyClock::time_point deadline_ = SteadyClock::time_point::max();
};

}  // namespace tailrace::postgres
