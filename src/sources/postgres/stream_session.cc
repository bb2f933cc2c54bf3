#include "sources/postgres/stream_session.h"

#include <poll.h>

#include <algorithm>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "sources/postgres/server_error.h"

namespace tailrace::postgres {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kSmallestRead = std::size_t{64} << 10;
/// What is read at most before it is taken.
constexpr std::size_t kBatch = std::size_t{1} << 20;
/// Room for a batch and what was incomplete before it.
constexpr std::size_t kBuffer = 2 * kBatch;
/// So little at once is synced at once: nothing is gained by waiting for more.
constexpr std::size_t kTrickle = std::size_t{16} << 10;
/// What waits at most before it is synced.
constexpr std::size_t kSyncBytes = std::size_t{1} << 20;
constexpr milliseconds kSyncTime{2};
/// A busy stream is acknowledged no more often than this.
constexpr milliseconds kAcknowledgeTime{50};
constexpr milliseconds kIdleProgressTime{1000};
constexpr milliseconds kAskedProgressTime{100};
constexpr int kRoomWaitMs = 100;
constexpr milliseconds kClosePatience{500};

}  // namespace

StreamSession::StreamSession(std::unique_ptr<Channel> channel, TransactionLog& log, RelationResolver resolve,
                             SessionOptions options, StatusBoard& board, const StopSignal& stop)
    : channel_(std::move(channel)),
      pace_(channel_->transport(), channel_->fd()),
      log_(log),
      resolve_(std::move(resolve)),
      options_(std::move(options)),
      board_(board),
      stop_(stop),
      buffer_(kBuffer, log.scratch_directory()),
      before_(board.look()) {
  const auto now = SteadyClock::now();
  last_status_ = last_ack_ = last_heard_ = last_progress_ = last_ping_ = now;
}

void StreamSession::start() {
  channel_->write(query_message(options_.start_command));
  const auto deadline = SteadyClock::now() + options_.silence_limit;
  while (!copying_) {
    if (stop_.requested()) throw ReconnectError("TR130", "stopped before the stream began", "start again");
    if (SteadyClock::now() > deadline)
      throw ReconnectError("TR130", "the server does not begin to stream", "none needed: it is tried again");
    const ReceiveBuffer::Space space = buffer_.space(kSmallestRead);
    const std::size_t got = channel_->read(space.at, space.size);
    buffer_.filled(got);
    // What follows the answer belongs to run().
    while (!copying_) {
      const auto message = next_message();
      if (!message) break;
      take(*message);
    }
    if (got == 0) wait_for_data(100);
  }
}

void StreamSession::run(Overlap overlap, const std::function<void()>& tick) {
  ReadPace::prepare_thread();
  decoder_.emplace(
      log_, resolve_, std::move(overlap), [this](const RetryError& error) { wait_for_room(error); },
      options_.adopted_until);
  acknowledge(false);
  auto next_tick = SteadyClock::now();
  while (!stop_.requested()) {
    const std::size_t received = receive();
    TAILRACE_CRASH_POINT("source.after_receive");
    const bool busy = !emptied_ || pace_.data_keep_coming(received);
    answer_keepalives();
    sync_if_due(emptied_ && received < kTrickle);
    send_due_status();
    publish();
    if (SteadyClock::now() >= next_tick) {
      tick();
      next_tick = SteadyClock::now() + milliseconds(1000);
    }
    if (!emptied_) continue;
    if (busy) {
      pace_.rest(emptied_at_);
    } else if (received == 0) {
      if (decoder_->history_shown() && acknowledged_ < confirmable()) acknowledge(false);
      wait_for_data(250);
    }
  }
  close();
}

std::size_t StreamSession::receive() {
  std::size_t received = 0;
  emptied_ = false;
  while (received < kBatch && !emptied_) {
    const ReceiveBuffer::Space space = buffer_.space(kSmallestRead);
    if (space.size == 0) break;
    const std::size_t got = channel_->read(space.at, space.size);
    buffer_.filled(got);
    received += got;
    emptied_ = got == 0;
  }
  emptied_at_ = SteadyClock::now();
  bytes_ += received;
  if (received > 0) last_heard_ = emptied_at_;
  // start() may have left some.
  while (const auto message = next_message()) take(*message);
  return received;
}

std::optional<BackendMessage> StreamSession::next_message() {
  while (true) {
    try {
      return buffer_.next();
    } catch (const RetryError& error) {
      wait_for_room(error);
    }
  }
}

void StreamSession::take(const BackendMessage& message) {
  switch (message.type) {
    case 'd':
      if (message.body.empty()) return;
      if (message.body.front() == 'w') return wal_data(message.body);
      if (message.body.front() == 'k') return keepalive(message.body);
      return;
    case 'W': copying_ = true; return;
    case 'E': throw_server_error(parse_server_error(message.body), "streaming");
    case 'N': log::debug("source.notice", "{}", parse_server_error(message.body).shown()); return;
    case 'c': throw ReconnectError("TR130", "the server ended the stream", "none needed: the connection is made again");
    // Parameter status and the like may come at any time.
    default: return;
  }
}

void StreamSession::wal_data(ByteView body) {
  constexpr std::size_t kHeader = 25;  // type, start LSN, end of WAL, clock
  if (body.size() < kHeader)
    throw ReconnectError("TR130", "the server sent a WAL message that is too short", "none needed: it is read again");
  std::uint64_t end;
  std::memcpy(&end, body.data() + 9, sizeof end);
  server_end_ = std::max(server_end_, Lsn(__builtin_bswap64(end)));
  if (waited_.count() > 0) observe_delay(body);
  decoder_->take(body.substr(kHeader));
}

void StreamSession::keepalive(ByteView body) {
  try {
    ByteReader in(body.substr(1));
    const Lsn end(in.be64());
    in.skip(8);
    reply_wanted_ = in.u8() != 0 || reply_wanted_;
    server_end_ = std::max(server_end_, end);
    if (!decoder_->inside()) idle_end_ = std::max(idle_end_, end);
    decoder_->sent(end);
  } catch (const OutOfBytes&) {
    throw ReconnectError("TR130", "the server sent a keepalive that is too short", "none needed: it is read again");
  }
}

void StreamSession::answer_keepalives() {
  const auto now = SteadyClock::now();
  const milliseconds rest = reply_wanted_ ? kAskedProgressTime : kIdleProgressTime;
  if (idle_end_ > log_.end().commit_end && now - last_progress_ >= rest && !decoder_->inside()) {
    decoder_->progress(idle_end_);
    last_progress_ = now;
    sync();
  }
  if (reply_wanted_) acknowledge(false);
}

void StreamSession::advance() {
  if (idle_end_ > log_.end().commit_end && !decoder_->inside()) {
    decoder_->progress(idle_end_);
    last_progress_ = SteadyClock::now();
    sync();
  }
  acknowledge(true);
}

void StreamSession::sync_if_due(bool trickle) {
  const std::uint64_t waiting = log_.unsynced_bytes();
  if (waiting == 0) {
    unsynced_ = false;
    return;
  }
  const auto now = SteadyClock::now();
  if (!unsynced_) {
    unsynced_ = true;
    unsynced_since_ = now;
  }
  const bool complete = log_.end().commit_end > log_.durable_end();
  if (waiting >= kSyncBytes || (complete && (trickle || now - unsynced_since_ >= kSyncTime))) sync();
}

void StreamSession::sync() {
  while (true) {
    try {
      log_.sync();
      break;
    } catch (const RetryError& error) {
      wait_for_room(error);
    }
  }
  unsynced_ = false;
  if (confirmable() > acknowledged_ && SteadyClock::now() - last_ack_ >= kAcknowledgeTime) acknowledge(false);
}

void StreamSession::acknowledge(bool ask_reply) {
  TAILRACE_CRASH_POINT("source.before_ack");
  // A status without a place answers the server and confirms nothing.
  if (decoder_->history_shown()) acknowledged_ = std::max(acknowledged_, confirmable());
  std::string message = "d";
  ByteWriter out(message);
  out.be32(4 + 1 + 8 * 4 + 1);
  out.u8('r');
  // Written, flushed, applied: for a logical slot the second one counts, and all we have is durable.
  for (int i = 0; i < 3; ++i) out.be64(acknowledged_.value());
  out.be64(static_cast<std::uint64_t>(PgTime::now().micros()));
  out.u8(ask_reply ? 1 : 0);
  channel_->write(message);
  reply_wanted_ = false;
  last_status_ = last_ack_ = SteadyClock::now();
  TAILRACE_CRASH_POINT("source.after_ack");
}

void StreamSession::send_due_status() {
  const auto now = SteadyClock::now();
  const auto silent = now - last_heard_;
  if (silent >= options_.silence_limit)
    throw ReconnectError("TR130", "nothing was heard of the server for too long", "none needed: it is connected again");
  const bool ping = silent >= options_.silence_limit / 2 && now - last_ping_ >= options_.silence_limit / 4;
  if (ping) last_ping_ = now;
  if (ping || now - last_status_ >= options_.status_interval) acknowledge(ping);
}

void StreamSession::wait_for_data(int most_ms) {
  if (channel_->has_pending()) return;
  pollfd wait[2] = {{channel_->fd(), POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
  const auto before = SteadyClock::now();
  poll(wait, 2, most_ms);
  waited_ += std::chrono::duration_cast<milliseconds>(SteadyClock::now() - before);
}

void StreamSession::observe_delay(ByteView wal_message) {
  std::uint64_t sent;
  std::memcpy(&sent, wal_message.data() + 17, sizeof sent);
  const std::int64_t under_way = PgTime::now().micros() - static_cast<std::int64_t>(__builtin_bswap64(sent));
  pace_.observe_delay(waited_, milliseconds(under_way / 1000));
  waited_ = milliseconds(0);
}

void StreamSession::wait_for_room(const RetryError& error) {
  board_.update([&](SourceStatus& status) {
    status.state = SourceState::kLogFull;
    status.problems = {{error.code(), error.what(), error.remedy()}};
  });
  // What is complete may still become durable, so that readers go on and make room.
  try {
    log_.sync();
  } catch (const RetryError&) {
    log::debug("source.log_full", "the log does not sync either");
  }
  if (SteadyClock::now() - last_status_ >= std::min(options_.status_interval, milliseconds(1000))) acknowledge(false);
  stop_.sleep_for_ms(kRoomWaitMs);
  // Reading was not possible meanwhile: that is no silence of the server.
  last_heard_ = SteadyClock::now();
  if (stop_.requested()) throw ReconnectError(error.code(), error.what(), error.remedy());
}

void StreamSession::publish() {
  board_.update([&](SourceStatus& status) {
    if (status.state == SourceState::kLogFull) status.problems.clear();
    status.state = SourceState::kStreaming;
    status.server_lsn = std::max(status.server_lsn, server_end_);
    status.received_lsn = decoder_->passed();
    status.confirmed_lsn = std::max(status.confirmed_lsn, acknowledged_);
    status.open_spills = decoder_->open_spills();
    status.spilled_bytes = decoder_->spilled_bytes();
    status.transactions = before_.transactions + decoder_->counts().transactions;
    status.changes = before_.changes + decoder_->counts().changes;
    status.bytes = before_.bytes + bytes_;
    if (decoder_->counts().transactions > 0) status.last_commit_time = decoder_->counts().last_commit_time;
  });
}

void StreamSession::close() {
  sync();
  acknowledge(false);
  channel_->write(std::string_view("c\0\0\0\4", 5));
  // The server answers with its own end of copy; what it still sends before that comes again next time.
  const auto deadline = SteadyClock::now() + kClosePatience;
  while (SteadyClock::now() < deadline) {
    const ReceiveBuffer::Space space = buffer_.space(kSmallestRead);
    const std::size_t got = channel_->read(space.at, space.size);
    buffer_.filled(got);
    while (const auto message = buffer_.next())
      if (message->type == 'c' || message->type == 'Z' || message->type == 'E') return;
    if (got > 0 || channel_->has_pending()) continue;
    pollfd wait{channel_->fd(), POLLIN, 0};
    poll(&wait, 1, 50);
  }
}

}  // namespace tailrace::postgres
