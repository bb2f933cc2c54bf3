#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sinks/clickhouse/spec.h"

namespace tailrace::clickhouse {

/// Settings of one statement.
using Settings = std::vector<std::pair<std::string, std::string>>;

/// A connection to ClickHouse's HTTP interface, which is kept between statements. One thread.
class Connection {
 public:
  /// Connects with the first statement. `address` is copied.
  explicit Connection(const Address& address);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// A statement without an answer. All three throw RetryError TR840 (not reachable, no answer), and what
  /// throw_error() throws.
  void run(const std::string& sql);
  /// The answer of a SELECT whose `width` columns all are String.
  std::vector<std::vector<std::string>> select(const std::string& sql, std::size_t width);
  /// An INSERT with its rows. Nothing of an error's text is repeated, since it may hold values.
  void insert(const std::string& sql, std::string_view rows, const Settings& settings);

 private:
  struct Transport;
  std::string ask(const std::string& sql, std::string_view rows, const Settings& settings, bool is_insert);

  Address address_;
  std::string display_;
  std::unique_ptr<Transport> transport_;
};

/// What a server said instead of an answer.
struct ServerError {
  long http_status = 0;
  /// ClickHouse's number; 0: the answer is not ClickHouse's.
  int code = 0;
  /// ClickHouse's name for it, as "UNKNOWN_TABLE"; may be empty.
  std::string name;
  std::string text;
};
/// Reads an answer's status, header and body.
ServerError read_error(long http_status, int code_header, const std::string& body);
/// The error that it asks for. `is_insert`: it may be about rows, and its text is not repeated.
[[noreturn]] void throw_error(const ServerError& error, const std::string& display, bool is_insert);

}  // namespace tailrace::clickhouse
