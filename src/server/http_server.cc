#include "server/http_server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/time.h"
#include "server/endpoints.h"

namespace tailrace::server {
namespace {

using std::chrono::milliseconds;

constexpr int kBacklog = 64;
/// After the limit on open files was met.
constexpr milliseconds kBreath{100};

constexpr std::string_view kTooMany =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";

/// A client's socket, for the length of one question and its answer.
class BoundedStream final : public httplib::Stream {
 public:
  BoundedStream(int socket, const ClientBounds& bounds)
      : socket_(socket), bounds_(bounds), question_until_(SteadyClock::now() + bounds.question) {}

  bool is_readable() const override { return at_ < filled_ || ready(POLLIN, question_until_); }
  bool is_writable() const override { return ready(POLLOUT, answer_until_.value_or(question_until_)); }

  ssize_t read(char* into, std::size_t size) override {
    if (at_ == filled_ && !fill()) return -1;
    const std::size_t taken = std::min(size, filled_ - at_);
    std::memcpy(into, buffer_.data() + at_, taken);
    at_ += taken;
    return static_cast<ssize_t>(taken);
  }

  ssize_t write(const char* from, std::size_t size) override {
    if (!answer_until_) answer_until_ = SteadyClock::now() + bounds_.answer;
    while (true) {
      if (!ready(POLLOUT, *answer_until_)) return -1;
      const ssize_t sent = ::send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent >= 0 || (errno != EAGAIN && errno != EINTR)) return sent;
    }
  }

  // Who asks does not matter here.
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  bool ready(short events, SteadyClock::time_point until) const {
    const auto left = std::chrono::ceil<milliseconds>(until - SteadyClock::now());
    pollfd poll{socket_, events, 0};
    return left.count() > 0 && ::poll(&poll, 1, static_cast<int>(left.count())) > 0;
  }

  bool fill() {
    while (read_ < bounds_.question_bytes && ready(POLLIN, question_until_)) {
      const ssize_t n = ::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (n <= 0) return false;
      at_ = 0;
      filled_ = static_cast<std::size_t>(n);
      read_ += filled_;
      return true;
    }
    return false;
  }

  const int socket_;
  const ClientBounds& bounds_;
  const SteadyClock::time_point question_until_;
  std::optional<SteadyClock::time_point> answer_until_;
  std::array<char, 4096> buffer_{};
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
  std::size_t read_ = 0;
};

/// "localhost:8083" -> "localhost", "[::1]:8083" -> "::1".
std::string host_name(const std::string& header) {
  if (header.starts_with('[')) return header.substr(1, header.find(']') - 1);
  return header.substr(0, header.find(':'));
}

void give(const Answer& answer, httplib::Response& response) {
  response.status = answer.status;
  response.set_content(answer.body, answer.type);
}

BadConfigError cannot_listen(const ListenAddress& address, const std::string& why) {
  return {"TR222", fmt::format("cannot listen on {}: {}", to_string(address), why),
          "choose another address or port with --listen"};
}

UniqueFd listen_on(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (const int error = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found); error != 0)
    throw cannot_listen(address, ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, ::freeaddrinfo);
  int error = 0;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    UniqueFd socket(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    // A port whose last connections are still being forgotten is free.
    if (socket) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (socket && ::bind(socket.get(), one->ai_addr, one->ai_addrlen) == 0 && ::listen(socket.get(), kBacklog) == 0)
      return socket;
    error = errno;
  }
  throw cannot_listen(address, std::strerror(error));
}

std::uint16_t port_of(int socket) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                           : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
}

}  // namespace

/// The library's part: reads a question, finds what answers it, and writes the answer. Constant once it is made; any
/// thread.
class HttpServer::Routes final : private httplib::Server {
 public:
  Routes(const WatchedPipelines& pipelines, bool loopback) {
    set_pre_routing_handler([loopback](const httplib::Request& request, httplib::Response& response) {
      return turn_away(request, response, loopback);
    });
    const auto answer = [this, &pipelines](const char* path, Answer (*of)(const WatchedPipelines&)) {
      Get(path,
          [&pipelines, of](const httplib::Request&, httplib::Response& response) { give(of(pipelines), response); });
    };
    answer("/livez", live);
    answer("/readyz", ready);
    answer("/health", health);
    answer("/metrics", metrics);
    Get("/api/v1/status", [&pipelines](const httplib::Request& request, httplib::Response& response) {
      give(status(pipelines, request.get_param_value("pipeline")), response);
    });
    Get("/api/v1/metrics", [&pipelines](const httplib::Request& request, httplib::Response& response) {
      give(counters(pipelines, request.get_param_value("pipeline")), response);
    });
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty()) give(refusal(response.status, "there is nothing of that kind"), response);
    });
    set_exception_handler([](const httplib::Request&, httplib::Response& response, const std::exception_ptr& thrown) {
      explain(thrown, response);
    });
    set_default_headers({{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}});
  }

  /// Answers one question.
  void serve(int socket, const ClientBounds& bounds) {
    BoundedStream stream(socket, bounds);
    bool closed = false;
    // Parts of an answer that overlap would multiply it.
    process_request(stream, true, closed, [](httplib::Request& request) { request.ranges.clear(); });
  }

 private:
  static HandlerResponse turn_away(const httplib::Request& request, httplib::Response& response, bool loopback) {
    const std::string host = host_name(request.get_header_value("Host"));
    if (loopback && !host.empty() && !is_loopback(host)) {
      give(refusal(403, "this address answers to loopback names only"), response);
      return HandlerResponse::Handled;
    }
    if (request.method != "GET" && request.method != "HEAD") {
      response.set_header("Allow", "GET, HEAD");
      give(refusal(405, "nothing can be changed here"), response);
      return HandlerResponse::Handled;
    }
    return HandlerResponse::Unhandled;
  }

  static void explain(const std::exception_ptr& thrown, httplib::Response& response) {
    try {
      std::rethrow_exception(thrown);
    } catch (const Error& error) {
      log::info("http.failed", "{} {}", error.code(), error.what());
      give(refusal(503, fmt::format("{} {}", error.code(), error.what())), response);
    } catch (const std::exception& error) {
      log::error("http.failed", "{}", error.what());
      give(refusal(500, "the question could not be answered"), response);
    }
  }
};

HttpServer::HttpServer(const ListenAddress& address, const WatchedPipelines& pipelines, const ClientBounds& bounds)
    : bounds_(bounds), address_(address), listener_(listen_on(address)), waker_(::eventfd(0, EFD_CLOEXEC)) {
  if (!waker_) throw cannot_listen(address, std::strerror(errno));
  address_.port = port_of(listener_.get());
  routes_ = std::make_unique<Routes>(pipelines, is_loopback(address_.host));
  acceptor_ = std::jthread([this](const std::stop_token& stop) { accept_clients(stop); });
}

HttpServer::~HttpServer() {
  acceptor_.request_stop();
  ::eventfd_write(waker_.get(), 1);
  acceptor_.join();
  for (const Client& client : clients_) ::shutdown(client.socket.get(), SHUT_RDWR);
  clients_.clear();
}

std::string HttpServer::url() const { return "http://" + to_string(address_); }

void HttpServer::accept_clients(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> wait{{{listener_.get(), POLLIN, 0}, {waker_.get(), POLLIN, 0}}};
    if (::poll(wait.data(), wait.size(), -1) > 0 && wait[0].revents != 0) take_client();
  }
}

void HttpServer::take_client() {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) std::this_thread::sleep_for(kBreath);
    return;
  }
  clients_.remove_if([](const Client& client) { return client.done.load(); });
  if (clients_.size() >= bounds_.clients) {
    ::send(socket.get(), kTooMany.data(), kTooMany.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return;
  }
  Client& client = clients_.emplace_back();
  client.socket = std::move(socket);
  try {
    client.thread = std::jthread([this, &client] {
      routes_->serve(client.socket.get(), bounds_);
      // The client sees the end at once; the number stays taken until the thread is joined.
      ::shutdown(client.socket.get(), SHUT_RDWR);
      client.done = true;
    });
  } catch (const std::system_error&) {
    // No thread is to be had for now.
    ::send(client.socket.get(), kTooMany.data(), kTooMany.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    clients_.pop_back();
  }
}

}  // namespace tailrace::server
