#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/time.h"
#include "model/transaction_log.h"
#include "sources/postgres/channel.h"
#include "sources/postgres/read_pace.h"
#include "sources/postgres/receive_buffer.h"
#include "sources/postgres/status_board.h"
#include "sources/postgres/stop_signal.h"
#include "sources/postgres/stream_decoder.h"

namespace tailrace::postgres {

/// How one connection streams. A value.
struct SessionOptions {
  /// The whole START_REPLICATION command.
  std::string start_command;
  /// Longest time between two status messages.
  std::chrono::milliseconds status_interval{10'000};
  /// Longest silence of the server that is borne.
  std::chrono::milliseconds silence_limit{60'000};
  /// As StreamDecoder's.
  Lsn adopted_until;
};

/// One run of START_REPLICATION on one channel: receives, decodes into the log, syncs it, acknowledges what is durable
/// and nothing else, and answers keepalives whatever the log does. Owned and used by the source thread; ends with the
/// connection.
class StreamSession {
 public:
  /// `log`, `board` and `stop` outlive the session.
  StreamSession(std::unique_ptr<Channel> channel, TransactionLog& log, RelationResolver resolve, SessionOptions options,
                StatusBoard& board, const StopSignal& stop);

  /// Sends the command and waits until the server streams; nothing is taken or acknowledged yet. Throws as
  /// throw_server_error does.
  void start();
  /// Until a stop is requested; then what is durable has been acknowledged and the stream is closed. `tick` is called
  /// between messages, about once a second. Throws ReconnectError (the link), RefusedError, BadDataError,
  /// CorruptionError.
  /// `overlap`: what is expected again, made once the slot was ours.
  void run(Overlap overlap, const std::function<void()>& tick);
  /// A prepared transaction keeps the server from being told all that is durable. REQUIRES: run().
  bool holds_back() const { return confirmable() < log_.durable_end(); }

  // For `tick`:
  StreamDecoder& decoder() { return *decoder_; }
  /// The log comes as far as the server says that it has sent, and the server is asked for that.
  void advance();

 private:
  using Millis = std::chrono::milliseconds;

  /// Reads until the socket is empty or a batch is full, then takes all whole messages. Gives the bytes read.
  std::size_t receive();
  /// As ReceiveBuffer::next(), but waits for room.
  std::optional<BackendMessage> next_message();
  void take(const BackendMessage& message);
  void wal_data(ByteView body);
  void keepalive(ByteView body);
  void answer_keepalives();
  void sync_if_due(bool trickle);
  void sync();
  void acknowledge(bool ask_reply);
  /// What the server may be told by now. REQUIRES: run().
  Lsn confirmable() const { return decoder_->confirmable(log_.durable_end()); }
  void send_due_status();
  void wait_for_data(int most_ms);
  void observe_delay(ByteView wal_message);
  void wait_for_room(const RetryError& error);
  void publish();
  void close();

  std::unique_ptr<Channel> channel_;
  ReadPace pace_;
  TransactionLog& log_;
  RelationResolver resolve_;
  std::optional<StreamDecoder> decoder_;
  SessionOptions options_;
  StatusBoard& board_;
  const StopSignal& stop_;
  ReceiveBuffer buffer_;
  bool copying_ = false;
  /// The last receive() ended because nothing more was there.
  bool emptied_ = false;
  /// When that was, and how long poll() had waited before.
  SteadyClock::time_point emptied_at_;
  std::chrono::milliseconds waited_{0};
  Lsn server_end_;
  /// Everything below was sent, says a keepalive.
  Lsn idle_end_;
  bool reply_wanted_ = false;
  /// What the server was told on this connection; 0 before it has shown the log's history.
  Lsn acknowledged_;
  bool unsynced_ = false;
  SteadyClock::time_point unsynced_since_;
  SteadyClock::time_point last_status_;
  SteadyClock::time_point last_ack_;
  SteadyClock::time_point last_heard_;
  SteadyClock::time_point last_progress_;
  SteadyClock::time_point last_ping_;
  std::uint64_t bytes_ = 0;
  /// The totals of earlier sessions.
  SourceStatus before_;
};

}  // namespace tailrace::postgres
