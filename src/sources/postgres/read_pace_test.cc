#include "sources/postgres/read_pace.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/unique_fd.h"

namespace tailrace::postgres {
namespace {

using std::chrono::milliseconds;

/// A connected pair over loopback TCP.
struct TcpPair {
  TcpPair() {
    const UniqueFd listener(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener.get(), 1), 0);
    EXPECT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    reader = UniqueFd(socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(connect(reader.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    sender = UniqueFd(accept(listener.get(), nullptr, nullptr));
  }

  /// What was asked of the kernel, which keeps twice as much for its bookkeeping (socket(7)).
  int receive_buffer() const {
    int bytes = 0;
    socklen_t size = sizeof bytes;
    EXPECT_EQ(getsockopt(reader.get(), SOL_SOCKET, SO_RCVBUF, &bytes, &size), 0);
    return bytes / 2;
  }

  UniqueFd reader;
  UniqueFd sender;
};

TEST(ReadPaceTest, knows_a_connection_within_one_host) {
  const TcpPair pair;
  EXPECT_EQ(ReadPace::transport_of(pair.reader.get()), Transport::kLocalTcp);
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd one(ends[0]);
  const UniqueFd other(ends[1]);
  EXPECT_EQ(ReadPace::transport_of(one.get()), Transport::kUnixSocket);
}

TEST(ReadPaceTest, a_window_that_stalls_is_widened_step_by_step) {
  const TcpPair pair;
  ReadPace pace(Transport::kLocalTcp, pair.reader.get());
  const int first = pair.receive_buffer();
  EXPECT_EQ(first, 32768);
  pace.observe_delay(milliseconds(200), milliseconds(190));
  EXPECT_EQ(pair.receive_buffer(), 2 * first);
  for (int n = 0; n < 10; ++n) pace.observe_delay(milliseconds(200), milliseconds(190));
  EXPECT_EQ(pair.receive_buffer(), 8 * first);
}

TEST(ReadPaceTest, a_quiet_server_is_no_stall) {
  const TcpPair pair;
  ReadPace pace(Transport::kLocalTcp, pair.reader.get());
  const int first = pair.receive_buffer();
  pace.observe_delay(milliseconds(5000), milliseconds(3));
  pace.observe_delay(milliseconds(20), milliseconds(500));
  EXPECT_EQ(pair.receive_buffer(), first);
}

TEST(ReadPaceTest, a_remote_server_keeps_the_kernels_window) {
  const TcpPair pair;
  const int before = pair.receive_buffer();
  ReadPace pace(Transport::kRemote, pair.reader.get());
  pace.observe_delay(milliseconds(500), milliseconds(500));
  EXPECT_EQ(pair.receive_buffer(), before);
}

}  // namespace
}  // namespace tailrace::postgres
