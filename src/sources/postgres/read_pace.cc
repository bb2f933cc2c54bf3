#include "sources/postgres/read_pace.h"

#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cstring>
#include <ctime>

namespace tailrace::postgres {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Not below it: Linux' sender cuts segments of half the largest window it has seen (64 KiB at the handshake), and into
/// a window smaller than one segment it sends only on its 200 ms probe. What the kernel grants of this depends on how
/// full its buffers are, so observe_delay() watches for that.
constexpr int kSmallBuffer = 32768;
constexpr int kOpenBuffer = 262144;
/// Long enough for the small window to be full most of the time.
constexpr microseconds kLocalTcpPause{3000};
/// A Unix socket's sender blocks after some 170 small messages: longer pauses stall it.
constexpr microseconds kUnixPause{100};
constexpr microseconds kRemotePause{100};
constexpr microseconds kOpenPause{300};
constexpr milliseconds kStall{100};

microseconds pause_of(Transport transport) {
  switch (transport) {
    case Transport::kUnixSocket: return kUnixPause;
    case Transport::kLocalTcp: return kLocalTcpPause;
    case Transport::kRemote: return kRemotePause;
  }
  return kRemotePause;
}

bool same_address(const sockaddr_storage& a, const sockaddr_storage& b) {
  if (a.ss_family != b.ss_family) return false;
  if (a.ss_family == AF_INET) {
    sockaddr_in left;
    sockaddr_in right;
    std::memcpy(&left, &a, sizeof left);
    std::memcpy(&right, &b, sizeof right);
    const bool loopback = (ntohl(left.sin_addr.s_addr) >> 24) == 127;
    return loopback || left.sin_addr.s_addr == right.sin_addr.s_addr;
  }
  if (a.ss_family != AF_INET6) return false;
  sockaddr_in6 left;
  sockaddr_in6 right;
  std::memcpy(&left, &a, sizeof left);
  std::memcpy(&right, &b, sizeof right);
  return std::memcmp(&left.sin6_addr, &right.sin6_addr, sizeof left.sin6_addr) == 0;
}

void set_receive_buffer(int socket, int bytes) {
  // Where it is refused the kernel's own choice stays, which is only slower.
  setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

}  // namespace

ReadPace::ReadPace(Transport transport, int socket)
    : socket_(socket),
      receive_buffer_(transport == Transport::kLocalTcp ? kSmallBuffer : 0),
      pause_(pause_of(transport)) {
  if (receive_buffer_ > 0) set_receive_buffer(socket, receive_buffer_);
}

void ReadPace::prepare_thread() { prctl(PR_SET_TIMERSLACK, 1UL); }

void ReadPace::rest(SteadyClock::time_point emptied) const {
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(emptied + pause_ - SteadyClock::now());
  if (left.count() <= 0) return;
  const timespec duration{0, static_cast<long>(left.count())};
  nanosleep(&duration, nullptr);
}

void ReadPace::observe_delay(milliseconds waited, milliseconds under_way) {
  if (receive_buffer_ == 0 || receive_buffer_ == kOpenBuffer || waited < kStall || under_way < kStall) return;
  receive_buffer_ *= 2;
  if (receive_buffer_ == kOpenBuffer) pause_ = kOpenPause;
  set_receive_buffer(socket_, receive_buffer_);
}

Transport ReadPace::transport_of(int socket) {
  sockaddr_storage peer{};
  sockaddr_storage own{};
  socklen_t peer_size = sizeof peer;
  socklen_t own_size = sizeof own;
  const bool known = getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 &&
                     getsockname(socket, reinterpret_cast<sockaddr*>(&own), &own_size) == 0;
  if (!known) return Transport::kRemote;
  if (peer.ss_family == AF_UNIX) return Transport::kUnixSocket;
  return same_address(peer, own) ? Transport::kLocalTcp : Transport::kRemote;
}

}  // namespace tailrace::postgres
