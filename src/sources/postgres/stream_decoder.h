#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/transaction_log.h"
#include "sources/postgres/overlap.h"

namespace tailrace::postgres {

/// What a decoder has done so far.
struct DecoderCounts {
  std::uint64_t transactions = 0;
  std::uint64_t changes = 0;
  PgTime last_commit_time;
};

/// What the optional event trigger puts before its messages (docs/schema-changes.md, "Changes without rows").
inline constexpr const char* kDdlPrefix = "tailrace.ddl";

/// Follows the pgoutput messages of one connection and writes whole transactions to the log: plain ones as they come,
/// streamed and prepared ones through spills. What the log holds already is compared and left out. Empty transactions
/// are not logged. Dies with its connection, and with it all that was not committed. Source thread only.
class StreamDecoder {
 public:
  /// `wait_for_room` is called when the log takes nothing for now, and returns when it is worth another try; what it
  /// throws ends the call. `adopted_until`: a transaction that was prepared before the slot's beginning and ends at or
  /// below this comes without its content, which the first copy has.
  StreamDecoder(TransactionLog& log, RelationResolver resolve, Overlap overlap,
                std::function<void(const RetryError&)> wait_for_room, Lsn adopted_until = Lsn());
  ~StreamDecoder();

  /// One whole message. REQUIRES: its bytes are writable; they may be overwritten. Throws BadDataError (TR310) for
  /// bytes or an order that pgoutput does not produce, RefusedError for another history (TR117) and for a prepared
  /// transaction whose content was sent to somebody else (TR131).
  void take(ByteView message);

  /// The server's keepalive says that everything that ended at or below `end` was sent. Does nothing inside a
  /// transaction.
  void progress(Lsn end);

  /// The server says in the stream that everything that ended at or below `end` was sent.
  void sent(Lsn end);
  /// The server has shown that it holds the history of the log (Overlap::complete).
  bool history_shown() const { return overlap_.complete(); }

  /// What PostgreSQL may be told when the log is durable up to `durable`: less while a transaction is prepared. The
  /// server sends a prepared transaction once, and never again what was confirmed, while its spill dies with us.
  Lsn confirmable(Lsn durable) const;
  /// These tables are so at the log's end, unless the stream says otherwise before the log has a place for it.
  void describe(const std::vector<RelationPtr>& relations);
  /// Whether descriptions still wait for their place.
  bool describing() const { return !described_.empty(); }
  /// Whether a transaction said by a message that it has altered something, since this was asked last.
  bool take_ddl_notice() { return std::exchange(ddl_noticed_, false); }

  /// Between the first and the last message of a transaction that is sent as a whole, or in a piece of a streamed one.
  bool inside() const { return plain_.open || segment_.valid() || preparing_; }
  /// Everything that concerns us below this has arrived and is in the log, though no unit may have ended there.
  Lsn passed() const { return passed_; }
  const DecoderCounts& counts() const { return counts_; }
  std::size_t open_spills() const { return streamed_.size() + prepared_.size(); }
  std::uint64_t spilled_bytes() const;

 private:
  struct Plain {
    bool open = false;
    /// At or below the log's end.
    bool known = false;
    std::uint64_t changes = 0;
    CommitRecord record;
  };
  struct Streamed {
    std::unique_ptr<Spill> spill;
    std::string origin;
    bool has_ddl = false;
    /// Changes by sub-transaction, the aborted ones removed.
    std::unordered_map<std::uint32_t, std::uint64_t> changes;
    /// Relation messages that survive so far: the server counts them as sent once the transaction commits.
    std::vector<std::pair<Xid, std::string>> relations;

    std::uint64_t total_changes() const;
  };
  /// A transaction that was sent at its PREPARE TRANSACTION, or is being sent.
  struct Prepared {
    Xid xid;
    Lsn prepare_lsn;
    std::string gid;
    Streamed content;
    /// Whose Relation messages the spill has.
    std::unordered_set<std::uint32_t> told;
  };

  template <typename Call>
  auto patiently(Call call);
  void begin(ByteView message);
  void commit(ByteView message);
  void origin(ByteView message);
  void relation(ByteView message);
  void change(ByteView message);
  void lone_message(ByteView message);
  /// `xid`: of the transaction as a whole.
  void spill(Streamed& streamed, Xid xid, Xid sub, ByteView message);
  void spill_message(ByteView message);
  /// The transaction is not logged, but the server counts its relations as sent from now on.
  void keep_relations(const Streamed& streamed);
  void stream_start(ByteView message);
  void stream_commit(ByteView message);
  void stream_abort(ByteView message);
  void begin_prepare(ByteView message);
  void prepare(ByteView message);
  void stream_prepare(ByteView message);
  void commit_prepared(ByteView message);
  void rollback_prepared(ByteView message);
  void prepared_message(ByteView message);
  void prepared_relation(Prepared& prepared, ByteView message);
  /// The end of a prepared transaction whose content this connection was not sent.
  void unseen_content(const CommitRecord& record, ByteView gid);
  void adopt_prepared(Streamed content, const CommitRecord& record);
  void adopt(Streamed& streamed, const CommitRecord& record);
  /// Gives what waits its place in the log.
  void write_descriptions(Lsn end);
  /// The stream is younger than a description that waits.
  void outdate(Oid oid);
  bool known(Lsn commit_lsn) const { return commit_lsn < log_.end().commit_end; }
  void open_transaction();
  void count(const CommitRecord& record, std::uint64_t changes);

  TransactionLog& log_;
  RelationResolver resolve_;
  Overlap overlap_;
  std::function<void(const RetryError&)> wait_for_room_;
  Plain plain_;
  /// Top xid of the piece we are in.
  Xid segment_;
  std::unordered_map<std::uint32_t, Streamed> streamed_;
  /// Sent at this moment, as a whole.
  std::optional<Prepared> preparing_;
  /// By xid: complete, neither committed nor rolled back.
  std::unordered_map<std::uint32_t, Prepared> prepared_;
  /// The Relation messages that the server counts as sent, by oid: a prepared transaction is decoded long after it
  /// came, so its spill holds all that it stands on.
  std::unordered_map<std::uint32_t, std::string> sent_relations_;
  const Lsn adopted_until_;
  /// Resolved relations that the log has not been told of: it is, inside its next transaction.
  std::vector<RelationPtr> pending_relations_;
  std::vector<RelationPtr> described_;
  bool ddl_noticed_ = false;
  Lsn passed_;
  DecoderCounts counts_;
};

}  // namespace tailrace::postgres
