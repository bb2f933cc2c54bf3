#include "pipeline/control_server.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>
#include <utility>

#include "base/lack_of_memory.h"
#include "base/log.h"
#include "pipeline/control_protocol.h"
#include "pipeline/control_socket.h"
#include "pipeline/verification.h"

namespace tailrace::pipeline {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;

constexpr std::size_t kMostClients = 64;
constexpr std::size_t kPiece = 64U << 10;
constexpr std::chrono::milliseconds kPause{100};
/// A client that takes nothing for so long is let go.
constexpr timeval kSendLimit{30, 0};

std::string text_of(const Json& request, const char* key) {
  const auto found = request.find(key);
  return found != request.end() && found->is_string() ? found->get<std::string>() : std::string();
}

milliseconds timeout_of(const Json& request) {
  const auto found = request.find("timeout_ms");
  if (found == request.end() || !found->is_number_integer()) return milliseconds(30'000);
  return milliseconds(std::clamp<std::int64_t>(found->get<std::int64_t>(), 0, 86'400'000));
}

LetterOrder letter_order(const Json& request) {
  LetterOrder order{.ids = request.at("ids").get<std::vector<std::uint64_t>>(), .edits = {}};
  for (const Json& edit : request.at("edits")) {
    const Json& text = edit.at("text");
    order.edits.push_back({edit.at("column").get<std::string>(),
                           text.is_null() ? std::nullopt : std::optional<std::string>(text.get<std::string>())});
  }
  order.rehearsal = request.value("rehearsal", false);
  return order;
}

/// How far a target is, and how old that is.
Json moment_of(const PipelineStatus& status, const std::string& sink) {
  for (const SinkStatus& one : status.sinks) {
    if (one.name != sink) continue;
    return {{"as_of", one.durable_lsn.str()},
            {"age_ms", std::llround(1000 * one.lag_seconds)},
            {"source", sources::name_of(status.source.state)}};
  }
  return Json::object();
}

/// Watches, as long as it lives, whether anybody still waits for an answer that may take long without a word.
class Attention {
 public:
  Attention(LineChannel& channel, const std::stop_token& stop)
      : on_stop_(stop, [this] { unwanted_.request_stop(); }), watcher_([this, &channel](std::stop_token done) {
          while (!done.stop_requested() && !unwanted_.stop_requested())
            if (channel.hung_up(milliseconds(100))) unwanted_.request_stop();
        }) {}

  /// Requested once nobody does.
  std::stop_token unwanted() const { return unwanted_.get_token(); }

 private:
  std::stop_source unwanted_;
  std::stop_callback<std::function<void()>> on_stop_;
  std::jthread watcher_;
};

}  // namespace

ControlServer::ControlServer(Pipeline& pipeline, std::function<void()> on_stop)
    : pipeline_(pipeline), on_stop_(std::move(on_stop)), path_(pipeline.paths().control()) {
  listener_ = listen_on(path_);
  acceptor_ = std::jthread([this](std::stop_token stop) { accept_clients(std::move(stop)); });
}

ControlServer::~ControlServer() {
  acceptor_.request_stop();
  acceptor_.join();
  for (Client& client : clients_) {
    client.thread.request_stop();
    ::shutdown(client.socket.get(), SHUT_RDWR);
  }
  clients_.clear();
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void ControlServer::accept_clients(std::stop_token stop) {
  while (!stop.stop_requested()) {
    pollfd poll{listener_.get(), POLLIN, 0};
    const int ready = ::poll(&poll, 1, 100);
    remove_finished();
    if (ready <= 0) continue;
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) {
      // Without a free descriptor the client stays in line, and asking again at once would keep a core busy.
      std::this_thread::sleep_for(kPause);
      continue;
    }
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendLimit, sizeof(kSendLimit));
    if (clients_.size() >= kMostClients) {
      const RetryError busy("TR517", "too many commands talk to this pipeline", "try again in a moment");
      LineChannel(socket.get()).write(error_line(busy));
      continue;
    }
    Client& client = clients_.emplace_back();
    client.socket = std::move(socket);
    try {
      client.thread = std::jthread([this, &client](std::stop_token client_stop) {
        serve(client, std::move(client_stop));
        client.done = true;
      });
    } catch (const std::system_error&) {
      LineChannel(client.socket.get()).write(error_line(lack_of_memory()));
      clients_.pop_back();
    }
  }
}

void ControlServer::remove_finished() {
  clients_.remove_if([](const Client& client) { return client.done.load(); });
}

void ControlServer::serve(Client& client, std::stop_token stop) {
  LineChannel channel(client.socket.get());
  while (const std::optional<std::string> line = channel.read(stop)) {
    try {
      const Json request = Json::parse(*line, nullptr, false);
      if (!request.is_object()) throw BadConfigError("TR518", "not a JSON object", "one request a line");
      answer(client, request, stop);
    } catch (const Error& error) {
      if (!channel.write(error_line(error))) return;
    } catch (const std::exception& error) {
      const std::string told =
          is_lack_of_memory(error) ? error_line(lack_of_memory()) : error_line(DefectError(error.what()));
      if (!channel.write(told)) return;
    }
  }
}

void ControlServer::answer(Client& client, const Json& request, std::stop_token stop) {
  LineChannel channel(client.socket.get());
  const std::string what = text_of(request, "do");
  if (what == "status") {
    channel.write(done_line({{"status", to_json(pipeline_.status())}}));
  } else if (what == "metrics") {
    channel.write(done_line({{"metrics", to_json(pipeline_.metrics())}}));
  } else if (what == "wait") {
    const std::string text = text_of(request, "lsn");
    const std::optional<Lsn> lsn = Lsn::parse(text);
    if (!text.empty() && !lsn) throw BadConfigError("TR202", "this is no LSN", "write it as 0/16B3748");
    using Until = Pipeline::WaitOrder::Until;
    const Until until = request.value("allow_held", false) ? Until::kRows : Until::kEverything;
    const Lsn reached = pipeline_.wait({lsn, text_of(request, "sink"), timeout_of(request), until}, stop);
    channel.write(done_line({{"lsn", reached.str()}}));
  } else if (what == "query") {
    answer_query(client, request, stop);
  } else if (what == "verify") {
    answer_verify(client, request, stop);
  } else if (what == "lend") {
    answer_lend(client, request, stop);
  } else if (what == "snapshot") {
    pipeline_.copy_again(request.at("tables").get<std::vector<std::string>>(), text_of(request, "where"),
                         text_of(request, "sink"));
    channel.write(done_line(Json::object()));
  } else if (what == "pause") {
    pipeline_.set_paused(text_of(request, "sink"), request.value("paused", true));
    channel.write(done_line(Json::object()));
  } else if (what == "rewind" && request.value("snapshot", false)) {
    pipeline_.copy_everything_again(text_of(request, "sink"), stop);
    channel.write(done_line(Json::object()));
  } else if (what == "rewind") {
    const Cursor to = pipeline_.rewind(
        text_of(request, "sink"), {Lsn::parse(text_of(request, "lsn")), PgTime(request.value("time", std::int64_t{0}))},
        timeout_of(request));
    channel.write(done_line({{"position", to.position.str()}, {"lsn", to.position.commit_end.str()}}));
  } else if (what == "replay") {
    const LettersReplayed replayed =
        pipeline_.replay(text_of(request, "sink"), letter_order(request), timeout_of(request));
    channel.write(done_line(
        {{"replayed", replayed.replayed}, {"followed", replayed.followed}, {"superseded", replayed.superseded}}));
  } else if (what == "stop") {
    channel.write(done_line(Json::object()));
    on_stop_();
  } else {
    throw BadConfigError("TR518", "an unknown request", "use the same version of Tailrace on both sides");
  }
}

void ControlServer::answer_query(Client& client, const Json& request, std::stop_token stop) {
  LineChannel channel(client.socket.get());
  QueryRequest query;
  query.sql = text_of(request, "sql");
  query.as_of = text_of(request, "as_of");
  query.format = parse_format(text_of(request, "format"));
  const SinkSetup& sink = pipeline_.queryable(text_of(request, "sink"));
  const Attention attention(channel, stop);
  // Taken before the target is looked at, which therefore is at least as far.
  const Json moment = moment_of(pipeline_.status(), sink.name);
  std::string waiting;
  const auto send = [&channel, &waiting] {
    if (!waiting.empty() && !(channel.write(piece_line(waiting.size())) && channel.write_bytes(waiting))) {
      throw RetryError("TR519", "the asking command is gone", "ask again");
    }
    waiting.clear();
  };
  const auto take = [&waiting, &send](std::string_view piece) {
    waiting += piece;
    if (waiting.size() >= kPiece) send();
  };
  const TargetVisit visit = pipeline_.visit(sink.name, milliseconds(0), attention.unwanted());
  sink.query(query, take, attention.unwanted());
  send();
  channel.write(done_line(moment));
}

void ControlServer::answer_verify(Client& client, const Json& request, std::stop_token stop) {
  LineChannel channel(client.socket.get());
  parity::VerifyOptions options;
  options.tables = request.value("tables", std::vector<std::string>());
  options.rows_per_second = request.value("rows_per_second", std::uint64_t{0});
  options.repair = request.value("repair", false);
  const Attention attention(channel, stop);
  const auto tell = [&channel](const parity::TableReport& report) {
    const std::string text = to_json(report).dump(-1, ' ', false, Json::error_handler_t::replace);
    if (!(channel.write(piece_line(text.size())) && channel.write_bytes(text)))
      throw RetryError("TR519", "the asking command is gone", "ask again");
  };
  const Verification found = verify(pipeline_, text_of(request, "sink"), options, tell, attention.unwanted());
  channel.write(done_line({{"sink", found.sink}, {"fence", found.fence.str()}}));
}

void ControlServer::answer_lend(Client& client, const Json& request, std::stop_token stop) {
  LineChannel channel(client.socket.get());
  const SinkSetup& sink = pipeline_.lend(text_of(request, "sink"), timeout_of(request));
  bool there = channel.write(done_line({{"sink", sink.name}, {"target", sink.display}}));
  while (there && !stop.stop_requested()) there = !channel.hung_up(milliseconds(100));
  pipeline_.give_back(sink.name);
}

}  // namespace tailrace::pipeline
