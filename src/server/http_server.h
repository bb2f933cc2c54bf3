#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "server/listen_address.h"
#include "server/watched_pipelines.h"

namespace tailrace::server {

/// What one client may take of the process; tests make it less.
struct ClientBounds {
  std::size_t clients = 32;
  /// Request line and headers together; what a question of ours needs is far below.
  std::size_t question_bytes = 16U << 10;
  /// From the connection to the end of the question, and from there to the end of the answer.
  std::chrono::milliseconds question{5'000};
  std::chrono::milliseconds answer{10'000};
};

/// Answers questions about the pipelines of this process over HTTP (docs/watching.md). It changes nothing and shares no
/// lock with the way of a change. Whoever asks, and however slowly, gets one answer per connection, within the bounds;
/// what comes when too many ask is turned away. On a loopback address it answers
/// only to loopback names, so that no page of a browser reaches it under a name of its own.
/// One thread accepts and one serves each client. Owned by the command, outlived by the pipelines' list.
class HttpServer {
 public:
  /// Listens from here on. Throws BadConfigError TR222.
  HttpServer(const ListenAddress& address, const WatchedPipelines& pipelines, const ClientBounds& bounds = {});
  /// Answers that are under way are broken off.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// With the port that was chosen: "http://127.0.0.1:8083".
  std::string url() const;

 private:
  class Routes;
  struct Client {
    UniqueFd socket;
    std::atomic<bool> done{false};
    std::jthread thread;
  };

  void accept_clients(const std::stop_token& stop);
  void take_client();

  const ClientBounds bounds_;
  ListenAddress address_;
  UniqueFd listener_;
  /// Wakes the accepting thread for good.
  UniqueFd waker_;
  std::unique_ptr<Routes> routes_;
  std::list<Client> clients_;  // of the accepting thread
  std::jthread acceptor_;
};

}  // namespace tailrace::server
