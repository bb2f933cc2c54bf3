#include "sources/postgres/channel.h"

#include <libpq-fe.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "sources/postgres/connection.h"

namespace tailrace::postgres {
namespace {

constexpr int kWritePatienceMs = 60'000;

[[noreturn]] void lost(const std::string& why) {
  throw ReconnectError("TR130", "the connection to PostgreSQL was lost: " + why, "none needed: it is made again");
}

void wait_for(int fd, short events) {
  pollfd wait{fd, events, 0};
  if (poll(&wait, 1, kWritePatienceMs) == 0) lost("it takes no more bytes");
}

class SocketChannel : public Channel {
 public:
  explicit SocketChannel(int fd) : fd_(fd) {}
  explicit SocketChannel(UniqueFd socket) : owned_(std::move(socket)), fd_(owned_.get()) {}

  std::size_t read(char* into, std::size_t size) override {
    while (true) {
      const ssize_t got = recv(fd_, into, size, MSG_DONTWAIT);
      if (got > 0) return static_cast<std::size_t>(got);
      if (got == 0) lost("the server closed it");
      if (errno == EAGAIN) return 0;
      if (errno != EINTR) lost(std::strerror(errno));
    }
  }

  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN) {
        wait_for(fd_, POLLOUT);
      } else if (errno != EINTR) {
        lost(std::strerror(errno));
      }
    }
  }

  int fd() const override { return fd_; }
  Transport transport() const override { return ReadPace::transport_of(fd_); }

 private:
  UniqueFd owned_;
  int fd_;
};

/// libpq's TLS session, used with its own (non-blocking) socket below.
class TlsChannel : public Channel {
 public:
  TlsChannel(SSL* session, int fd) : session_(session), fd_(fd) {}

  std::size_t read(char* into, std::size_t size) override {
    std::size_t total = 0;
    while (total < size) {
      std::size_t got = 0;
      ERR_clear_error();
      const int ok = SSL_read_ex(session_, into + total, size - total, &got);
      if (ok == 1) {
        total += got;
        continue;
      }
      const int error = SSL_get_error(session_, ok);
      if (error == SSL_ERROR_WANT_READ) break;
      if (error == SSL_ERROR_WANT_WRITE) {
        wait_for(fd_, POLLOUT);
        continue;
      }
      // What came before the end is given first; the next call meets the end again.
      if (total > 0) break;
      lost(error == SSL_ERROR_ZERO_RETURN ? "the server closed it" : "TLS failed");
    }
    return total;
  }

  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      std::size_t sent = 0;
      ERR_clear_error();
      const int ok = SSL_write_ex(session_, bytes.data(), bytes.size(), &sent);
      if (ok == 1) {
        bytes.remove_prefix(sent);
        continue;
      }
      const int error = SSL_get_error(session_, ok);
      if (error == SSL_ERROR_WANT_READ) {
        wait_for(fd_, POLLIN);
      } else if (error == SSL_ERROR_WANT_WRITE) {
        wait_for(fd_, POLLOUT);
      } else {
        lost("TLS failed");
      }
    }
  }

  int fd() const override { return fd_; }
  Transport transport() const override { return Transport::kRemote; }
  bool has_pending() const override { return SSL_pending(session_) > 0; }

 private:
  SSL* session_;
  int fd_;
};

}  // namespace

std::unique_ptr<Channel> open_channel(const Connection& connection) {
  const int fd = PQsocket(connection.handle());
  if (PQsslInUse(connection.handle()) == 0) return std::make_unique<SocketChannel>(fd);
  auto* session = static_cast<SSL*>(PQsslStruct(connection.handle(), "OpenSSL"));
  if (session == nullptr)
    throw RefusedError("TR130", "libpq uses a TLS library other than OpenSSL", "use a libpq built with OpenSSL");
  return std::make_unique<TlsChannel>(session, fd);
}

std::unique_ptr<Channel> open_channel(UniqueFd socket) { return std::make_unique<SocketChannel>(std::move(socket)); }

std::string query_message(std::string_view sql) {
  std::string message = "Q";
  ByteWriter out(message);
  out.be32(static_cast<std::uint32_t>(sql.size() + 5));
  out.c_string(sql);
  return message;
}

}  // namespace tailrace::postgres
