#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "sources/postgres/read_pace.h"

namespace tailrace::postgres {

class Connection;

/// The bare two-way byte stream below a connection: its socket, or its TLS session. Once something is sent here libpq
/// no longer takes part, so nothing is copied through its buffers. One thread.
class Channel {
 public:
  virtual ~Channel() = default;
  /// Reads up to `size` bytes without waiting; 0 when there are none. Throws ReconnectError when the link is gone.
  virtual std::size_t read(char* into, std::size_t size) = 0;
  /// Writes all, waiting if it must, up to a minute. Throws ReconnectError.
  virtual void write(std::string_view bytes) = 0;
  /// What poll() may wait on for reading.
  virtual int fd() const = 0;
  /// What carries the bytes; TLS counts as remote, since its records are read as they come.
  virtual Transport transport() const = 0;
  /// Bytes were already taken off the socket and wait inside (TLS): do not poll.
  virtual bool has_pending() const { return false; }
};

/// The channel of a live connection, which outlives it and on which no query is in flight.
std::unique_ptr<Channel> open_channel(const Connection& connection);
/// A channel over a socket of our own.
std::unique_ptr<Channel> open_channel(UniqueFd socket);

/// A simple-query message ('Q').
std::string query_message(std::string_view sql);

}  // namespace tailrace::postgres
