#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sinks/redis/spec.h"

namespace tailrace::redis {

/// An answer (RESP 2). A value.
struct Reply {
  enum class Kind : std::uint8_t { kStatus, kError, kInteger, kText, kNull, kList };
  Kind kind = Kind::kNull;
  std::string text;
  std::int64_t number = 0;
  std::vector<Reply> list;

  bool is_error() const { return kind == Kind::kError; }
};

/// A connection to a Redis server: commands are collected, sent together, and answered in order. Over libcurl's plain
/// or TLS socket; one thread. After any throw it is of no more use.
class Connection {
 public:
  /// Connects, authenticates and chooses the database. Throws RetryError TR810 (not reachable, TR812 where it says that
  /// it is not ready), RefusedError TR811 (it refuses us).
  explicit Connection(const Address& address);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// One more command.
  void add(std::initializer_list<std::string_view> words) { add(words.begin(), words.size()); }
  void add(const std::vector<std::string_view>& words) { add(words.data(), words.size()); }
  /// Sends what was added and waits for all answers, errors among them. Throws RetryError TR810 when the connection
  /// breaks or nothing comes in time.
  std::vector<Reply> run();
  /// One command whose error is thrown (throw_error()).
  Reply ask(std::initializer_list<std::string_view> words);

 private:
  struct Transport;
  void add(const std::string_view* words, std::size_t count);
  void log_in(const Address& address);
  [[noreturn]] void lost(const std::string& what) const;
  /// What cannot be sent to was closed by somebody who may have said why: that it does not trust us.
  void hear_why() const;
  /// The same with libcurl's reason (CURLcode).
  [[noreturn]] void broken(int code) const;
  [[noreturn]] void refuse_trust(int code) const;
  void send();
  Reply read();

  std::string display_;
  std::unique_ptr<Transport> transport_;
  std::string out_;
  std::size_t commands_ = 0;
};

/// The error that an error answer asks for, by its first word; values in the rest of it are not repeated. `display`:
/// the server.
[[noreturn]] void throw_error(const Reply& error, const std::string& display);

}  // namespace tailrace::redis
