#pragma once

#include <atomic>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <stop_token>
#include <thread>

#include "base/unique_fd.h"
#include "pipeline/pipeline.h"

namespace tailrace::pipeline {

/// How the other commands reach a running pipeline: a socket in its state directory that takes one JSON request a line
/// and answers with JSON lines, the last of which has "done" or "error". Only the user who runs the pipeline may
/// connect. Owned by whoever owns the pipeline, and gone before it. One thread accepts, one serves each client.
///
/// Requests: {"do":"status"} · {"do":"wait","lsn":…,"sink":…,"timeout_ms":…} · {"do":"query","sql":…,"sink":…,
/// "as_of":…,"format":…} · {"do":"lend","sink":…,"timeout_ms":…} (until the connection ends) · {"do":"verify","sink":…,
/// "tables":[…],"rows_per_second":…,"repair":…} (a piece is a table's report) · {"do":"snapshot",
/// "tables":[…],"where":…,"sink":…} · {"do":"stop"}.
class ControlServer {
 public:
  /// Throws BadConfigError TR512 when the socket cannot be made. `on_stop` is called for {"do":"stop"}.
  ControlServer(Pipeline& pipeline, std::function<void()> on_stop);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct Client {
    UniqueFd socket;
    std::atomic<bool> done{false};
    std::jthread thread;
  };

  void accept_clients(std::stop_token stop);
  void remove_finished();
  void serve(Client& client, std::stop_token stop);
  void answer(Client& client, const nlohmann::json& request, std::stop_token stop);
  void answer_query(Client& client, const nlohmann::json& request, std::stop_token stop);
  void answer_verify(Client& client, const nlohmann::json& request, std::stop_token stop);
  void answer_lend(Client& client, const nlohmann::json& request, std::stop_token stop);

  Pipeline& pipeline_;
  const std::function<void()> on_stop_;
  std::filesystem::path path_;
  UniqueFd listener_;
  std::list<Client> clients_;  // of the accepting thread
  std::jthread acceptor_;
};

}  // namespace tailrace::pipeline
