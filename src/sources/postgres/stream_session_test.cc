// The session against a server of our own at the other end of a socket pair.

#include "sources/postgres/stream_session.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>
#include <optional>
#include <thread>
#include <vector>

#include "sources/postgres/recording_log.h"
#include "sources/postgres/scripted_stream.h"

namespace tailrace::postgres {
namespace {

using namespace script;  // the vocabulary of these tests
using std::chrono::milliseconds;

/// A standby status message of the client.
struct Status {
  Lsn flushed;
  bool asks_reply = false;
};

/// The server's end: sends what the test says and reads what the client answers.
class FakeServer {
 public:
  explicit FakeServer(UniqueFd socket) : socket_(std::move(socket)) {}

  void send(const std::string& bytes, std::size_t piece = SIZE_MAX) {
    for (std::size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size()))
      ASSERT_GT(::send(socket_.get(), bytes.data() + at, std::min(piece, bytes.size() - at), MSG_NOSIGNAL), 0);
  }
  /// The next message of the client; nothing when none comes in time or it is gone.
  std::optional<std::string> receive(milliseconds patience = milliseconds(3000)) {
    const auto deadline = SteadyClock::now() + patience;
    while (true) {
      if (const auto message = buffer_.next()) return std::string(1, message->type) + std::string(message->body);
      pollfd wait{socket_.get(), POLLIN, 0};
      if (SteadyClock::now() > deadline || poll(&wait, 1, 50) < 0) return std::nullopt;
      if (wait.revents == 0) continue;
      const auto space = buffer_.space(4096);
      const ssize_t got = recv(socket_.get(), space.at, space.size, 0);
      if (got <= 0) return std::nullopt;
      buffer_.filled(static_cast<std::size_t>(got));
    }
  }
  std::optional<Status> status(milliseconds patience = milliseconds(3000)) {
    const auto message = receive(patience);
    if (!message || message->substr(0, 2) != "dr") return std::nullopt;
    ByteReader in(ByteView(*message).substr(10));
    Status out;
    out.flushed = Lsn(in.be64());
    in.skip(16);
    out.asks_reply = in.u8() != 0;
    return out;
  }
  /// The first status that confirms at least `lsn`.
  bool confirmed(std::uint64_t lsn) {
    for (int i = 0; i < 100; ++i) {
      const auto found = status();
      if (!found) return false;
      if (found->flushed >= Lsn(lsn)) return true;
    }
    return false;
  }
  void hang_up() { socket_.reset(); }

 private:
  UniqueFd socket_;
  ReceiveBuffer buffer_;
};

class StreamSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    client_ = UniqueFd(ends[0]);
    server = std::make_unique<FakeServer>(UniqueFd(ends[1]));
    options.start_command = "START_REPLICATION";
    options.status_interval = milliseconds(10'000);
  }
  ~StreamSessionTest() override { stop(); }

  void start() {
    thread_ = std::jthread([this](std::stop_token token) {
      const StopSignal signal(token);
      try {
        StreamSession session(open_channel(std::move(client_)), log, resolve, options, board, signal);
        session.start();
        session.run(Overlap(log, overlap_start), [] {});
        closed = true;
      } catch (const Error& error) {
        failure = error.code();
        what = error.what();
      }
    });
    const auto query = server->receive();
    ASSERT_TRUE(query && query->starts_with("QSTART_REPLICATION"));
    server->send(backend('W', std::string("\0\0\0", 3)));
    ASSERT_TRUE(server->status());
  }
  void stop() {
    thread_.request_stop();
    join();
  }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  static std::string transaction(std::uint64_t lsn, std::uint32_t xid, const std::string& value) {
    return wal_data(begin(lsn, xid)) + wal_data(relation(1, "t")) + wal_data(insert(1, value)) + wal_data(commit(lsn));
  }

  /// As an earlier connection has left it in the log.
  void log_transaction(std::uint64_t lsn, std::uint32_t xid, const std::string& value) {
    log.begin(Xid(xid));
    log.relation(resolve(relation(1, "t")));
    log.append(insert(1, value));
    log.commit({Lsn(lsn), Lsn(lsn + 8), Xid(xid), PgTime(1000), ""});
    log.sync();
  }

  RecordingLog log;
  /// Where the server begins to send.
  Lsn overlap_start;
  StatusBoard board;
  SessionOptions options;
  std::unique_ptr<FakeServer> server;
  std::string failure;
  std::string what;
  bool closed = false;

 private:
  UniqueFd client_;
  std::jthread thread_;
};

TEST_F(StreamSessionTest, a_stream_cut_anywhere_is_the_same_stream) {
  start();
  for (std::uint64_t i = 1; i <= 20; ++i)
    server->send(transaction(i * 100, static_cast<std::uint32_t>(i), std::string(i, 'x')), i == 20 ? 1 : i);
  EXPECT_TRUE(server->confirmed(2008));
  EXPECT_EQ(log.unit_count(), 20u);
}

TEST_F(StreamSessionTest, a_stream_with_long_messages_cut_anywhere_is_the_same_stream) {
  ::setenv("TAILRACE_BOUND_LONG_BYTES", "60", 1);
  start();
  ::unsetenv("TAILRACE_BOUND_LONG_BYTES");
  std::vector<std::string> values;
  for (std::uint64_t i = 1; i <= 40; ++i) {
    values.emplace_back(i % 4 == 0 ? 200 * i : i, static_cast<char>('a' + i % 26));
    const auto xid = static_cast<std::uint32_t>(i);
    // Every other one in progress, whose messages have another field before what the log gets.
    const std::string bytes = i % 2 == 0
                                  ? wal_data(stream_start(xid, true)) + wal_data(with_sub_xid(relation(1, "t"), xid)) +
                                        wal_data(with_sub_xid(insert(1, values.back()), xid)) +
                                        wal_data(stream_stop()) + wal_data(stream_commit(xid, i * 100))
                                  : transaction(i * 100, xid, values.back());
    server->send(bytes, i < 30 ? i : 1);
  }
  EXPECT_TRUE(server->confirmed(4008));
  stop();
  ASSERT_EQ(log.unit_count(), 40u);
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(log.units().at(i).changes.at(0).message, insert(1, values[i])) << i;
}

TEST_F(StreamSessionTest, a_link_that_goes_silent_in_the_middle_of_a_message_is_given_up) {
  options.silence_limit = milliseconds(600);
  start();
  server->send(transaction(100, 5, "x") + transaction(200, 6, "y").substr(0, 60));
  join();
  EXPECT_EQ(failure, "TR130");
  EXPECT_EQ(what, "nothing was heard of the server for too long");
}

TEST_F(StreamSessionTest, nothing_is_acknowledged_before_it_is_durable) {
  start();
  server->send(wal_data(begin(100, 5), 5000) + wal_data(relation(1, "t"), 5000) + wal_data(insert(1, "x"), 5000));
  server->send(keepalive(5000, true));
  const auto inside = server->status();
  ASSERT_TRUE(inside);
  EXPECT_EQ(inside->flushed, Lsn(0));
  server->send(wal_data(commit(100), 5000));
  const auto after = server->status();
  ASSERT_TRUE(after);
  EXPECT_EQ(after->flushed, Lsn(108));
}

TEST_F(StreamSessionTest, a_commit_that_the_log_cannot_sync_is_not_acknowledged) {
  options.status_interval = milliseconds(100);
  start();
  log.hold(true);
  server->send(transaction(100, 5, "x"));
  for (int i = 0; i < 5; ++i) {
    const auto unasked = server->status(milliseconds(1000));
    ASSERT_TRUE(unasked);
    EXPECT_EQ(unasked->flushed, Lsn(0));
  }
  EXPECT_EQ(log.unit_count(), 1u);
  log.hold(false);
  EXPECT_TRUE(server->confirmed(108));
}

TEST_F(StreamSessionTest, an_idle_servers_end_is_not_acknowledged_while_the_log_cannot_take_it) {
  options.status_interval = milliseconds(100);
  start();
  log.be_full(8);
  server->send(keepalive(7000, true));
  for (int i = 0; i < 3; ++i) {
    const auto unasked = server->status(milliseconds(1000));
    ASSERT_TRUE(unasked);
    EXPECT_EQ(unasked->flushed, Lsn(0));
  }
  EXPECT_TRUE(server->confirmed(7000));
  EXPECT_EQ(log.durable_end(), Lsn(7000));
}

TEST_F(StreamSessionTest, nothing_is_acknowledged_to_a_server_that_may_have_another_history) {
  options.status_interval = milliseconds(20);
  log_transaction(100, 5, "x");
  overlap_start = Lsn(50);
  start();
  for (int i = 0; i < 5; ++i) {
    const auto before = server->status();
    ASSERT_TRUE(before);
    // Else the slot would move past the evidence, and the next connection would find none.
    EXPECT_EQ(before->flushed, Lsn(0));
  }
  server->send(transaction(100, 6, "of another history"));
  while (const auto status = server->status()) EXPECT_EQ(status->flushed, Lsn(0));
  join();
  EXPECT_EQ(failure, "TR117");
}

TEST_F(StreamSessionTest, a_server_that_has_shown_the_logs_history_is_told_how_far_the_log_is) {
  log_transaction(100, 5, "x");
  overlap_start = Lsn(50);
  start();
  server->send(transaction(100, 5, "x"));
  server->send(keepalive(108, true));
  EXPECT_TRUE(server->confirmed(108));
  EXPECT_EQ(log.unit_count(), 1u);
}

TEST_F(StreamSessionTest, an_idle_servers_end_is_logged_and_then_acknowledged) {
  start();
  std::this_thread::sleep_for(milliseconds(150));
  server->send(keepalive(7000, true));
  EXPECT_TRUE(server->confirmed(7000));
  EXPECT_EQ(log.durable_end(), Lsn(7000));
  EXPECT_EQ(log.unit_count(), 0u);
}

TEST_F(StreamSessionTest, keepalives_are_answered_while_the_log_is_full) {
  options.status_interval = milliseconds(100);
  start();
  log.be_full(12);
  server->send(transaction(100, 5, "x"));
  // Unasked, since reading has to wait.
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(server->status(milliseconds(500)));
  EXPECT_TRUE(server->confirmed(108));
  EXPECT_EQ(log.units().at(0).changes.size(), 1u);
}

TEST_F(StreamSessionTest, a_silent_server_is_asked_and_then_given_up) {
  options.silence_limit = milliseconds(600);
  start();
  const auto asked = server->status();
  ASSERT_TRUE(asked);
  EXPECT_TRUE(asked->asks_reply);
  join();
  EXPECT_EQ(failure, "TR130");
}

TEST_F(StreamSessionTest, a_hang_up_in_the_middle_of_a_message_asks_for_a_new_connection) {
  start();
  server->send(transaction(100, 5, "x") + transaction(200, 6, "y").substr(0, 60));
  EXPECT_TRUE(server->confirmed(108));
  server->hang_up();
  join();
  EXPECT_EQ(failure, "TR130");
  EXPECT_EQ(log.unit_count(), 1u);
}

TEST_F(StreamSessionTest, a_lost_slot_stays_refused) {
  start();
  server->send(error("55000", "can no longer get changes from replication slot \"s\""));
  join();
  EXPECT_EQ(failure, "TR114");
}

TEST_F(StreamSessionTest, notices_and_parameter_changes_in_the_stream_are_passed_over) {
  start();
  server->send(backend('S', std::string("TimeZone\0UTC\0", 13)) + backend('N', "") + transaction(100, 5, "x"));
  EXPECT_TRUE(server->confirmed(108));
}

TEST_F(StreamSessionTest, a_stop_acknowledges_what_is_durable_and_closes_the_stream) {
  start();
  server->send(transaction(100, 5, "x"));
  EXPECT_TRUE(server->confirmed(108));
  std::jthread stopper([this] { stop(); });
  ASSERT_TRUE(server->status());
  EXPECT_EQ(server->receive(), "c");
  server->send(backend('c', ""));
  stopper.join();
  EXPECT_TRUE(closed);
}

TEST_F(StreamSessionTest, a_message_larger_than_the_buffer_comes_through) {
  start();
  std::jthread sender([this] { server->send(transaction(100, 5, std::string(5 << 20, 'x'))); });
  sender.join();
  EXPECT_TRUE(server->confirmed(108));
  EXPECT_GT(log.units().at(0).changes[0].message.size(), std::size_t{5} << 20);
}

}  // namespace
}  // namespace tailrace::postgres
