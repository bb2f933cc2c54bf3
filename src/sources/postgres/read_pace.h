#pragma once

#include <chrono>
#include <cstddef>

#include "base/time.h"

namespace tailrace::postgres {

/// How the bytes come to us: it decides when reading is cheap for the server.
enum class Transport { kUnixSocket, kLocalTcp, kRemote };

/// When to read the server's socket. PostgreSQL sends message by message, so a reader that sleeps in poll() makes every
/// one of them wake it, at the server's expense. While data keep coming we therefore sleep by the clock and empty the
/// socket at once; over TCP on one host with a small receive window besides, so that a send() merely appends to the
/// server's own queue (bench/RESULTS.md, "How the socket is read"). Source thread, one connection.
class ReadPace {
 public:
  ReadPace(Transport transport, int socket);

  /// Asks the kernel for exact sleeps on the calling thread.
  static void prepare_thread();

  /// The socket was just emptied and gave `bytes`: whether more is on its way, so that rest() is to be called rather
  /// than poll().
  bool data_keep_coming(std::size_t bytes) const { return bytes > 0; }
  /// Sleeps what is left of the pause since `emptied`.
  void rest(SteadyClock::time_point emptied) const;

  /// The server's data was this long under way although we waited for it. With a small window that means it stalls:
  /// the window is then doubled, and after a few such steps as wide as over a network, for the rest of the connection.
  void observe_delay(std::chrono::milliseconds waited, std::chrono::milliseconds under_way);

  /// The transport of a connected socket.
  static Transport transport_of(int socket);

 private:
  int socket_;
  /// Bytes asked of the kernel for receiving; 0: its own choice.
  int receive_buffer_ = 0;
  std::chrono::microseconds pause_;
};

}  // namespace tailrace::postgres
