#include "sources/postgres/stream_decoder.h"

#include "base/crash_point.h"
#include "pgoutput/messages.h"

namespace tailrace::postgres {
namespace {

using pgoutput::MessageType;

[[noreturn]] void out_of_order(const char* what) {
  throw BadDataError("TR310", std::string("pgoutput messages in an impossible order: ") + what,
                     "the server's or a proxy's bytes are not what PostgreSQL documents; nothing was applied");
}

[[noreturn]] void two_phase() {
  throw RefusedError("TR131", "the slot was made with two-phase decoding, which is not supported",
                     "use a slot of Tailrace's own: give another slot name");
}

}  // namespace

StreamDecoder::StreamDecoder(TransactionLog& log, RelationResolver resolve, Overlap overlap,
                             std::function<void(const RetryError&)> wait_for_room)
    : log_(log),
      resolve_(std::move(resolve)),
      overlap_(std::move(overlap)),
      wait_for_room_(std::move(wait_for_room)),
      passed_(log.end().commit_end) {}

StreamDecoder::~StreamDecoder() = default;

template <typename Call>
auto StreamDecoder::patiently(Call call) {
  while (true) {
    try {
      return call();
    } catch (const RetryError& error) {
      wait_for_room_(error);
    }
  }
}

std::uint64_t StreamDecoder::Streamed::total_changes() const {
  std::uint64_t total = 0;
  for (const auto& [sub, count] : changes) total += count;
  return total;
}

std::uint64_t StreamDecoder::spilled_bytes() const {
  std::uint64_t total = 0;
  for (const auto& [xid, streamed] : streamed_)
    if (streamed.spill) total += streamed.spill->bytes();
  return total;
}

void StreamDecoder::take(ByteView message) {
  switch (pgoutput::type_of(message)) {
    case MessageType::kInsert:
    case MessageType::kUpdate:
    case MessageType::kDelete:
    case MessageType::kTruncate:
    case MessageType::kMessage: return change(message);
    case MessageType::kBegin: return begin(message);
    case MessageType::kCommit: return commit(message);
    case MessageType::kOrigin: return origin(message);
    case MessageType::kRelation: return relation(message);
    // Types come from the catalog, which knows more than their names.
    case MessageType::kType: return;
    case MessageType::kStreamStart: return stream_start(message);
    case MessageType::kStreamStop:
      if (!segment_.valid()) out_of_order("stream stop");
      segment_ = Xid();
      return;
    case MessageType::kStreamCommit: return stream_commit(message);
    case MessageType::kStreamAbort: return stream_abort(message);
    case MessageType::kBeginPrepare:
    case MessageType::kPrepare:
    case MessageType::kCommitPrepared:
    case MessageType::kRollbackPrepared:
    case MessageType::kStreamPrepare: two_phase();
  }
}

void StreamDecoder::progress(Lsn end) {
  if (inside() || end <= log_.end().commit_end) return;
  overlap_.passed();
  patiently([&] { log_.progress(end); });
  passed_ = end;
}

void StreamDecoder::sent(Lsn end) {
  if (!inside() && end >= log_.end().commit_end) overlap_.passed();
}

void StreamDecoder::begin(ByteView message) {
  if (inside()) out_of_order("begin inside a transaction");
  const pgoutput::Begin begun = pgoutput::parse_begin(message);
  plain_ = Plain{};
  plain_.open = true;
  plain_.known = known(begun.final_lsn);
  plain_.record.commit_lsn = begun.final_lsn;
  plain_.record.commit_time = begun.commit_time;
  plain_.record.xid = begun.xid;
  if (!plain_.known) overlap_.passed();
}

void StreamDecoder::commit(ByteView message) {
  const pgoutput::Commit end = pgoutput::parse_commit(message);
  if (!plain_.open || end.commit_lsn != plain_.record.commit_lsn) out_of_order("commit");
  plain_.open = false;
  plain_.record.end_lsn = end.end_lsn;
  plain_.record.commit_time = end.commit_time;
  if (plain_.known) {
    if (plain_.changes > 0) overlap_.resent(plain_.record);
    return;
  }
  if (plain_.changes > 0) {
    patiently([&] { log_.commit(plain_.record); });
    count(plain_.record, plain_.changes);
  }
  passed_ = end.end_lsn;
}

void StreamDecoder::origin(ByteView message) {
  std::string name(pgoutput::parse_origin(message).name);
  if (segment_.valid()) {
    streamed_[segment_.value()].origin = std::move(name);
  } else if (plain_.open) {
    plain_.record.origin = std::move(name);
  } else {
    out_of_order("origin");
  }
}

void StreamDecoder::relation(ByteView message) {
  if (segment_.valid()) return spill_message(message);
  RelationPtr relation = resolve_(message);
  if (plain_.open && !plain_.known && plain_.changes > 0) {
    patiently([&] { log_.relation(relation); });
  } else {
    pending_relations_.push_back(std::move(relation));
  }
}

void StreamDecoder::open_transaction() {
  patiently([&] { log_.begin(plain_.record.xid); });
  for (const RelationPtr& relation : pending_relations_) patiently([&] { log_.relation(relation); });
  pending_relations_.clear();
}

void StreamDecoder::change(ByteView message) {
  if (segment_.valid()) return spill_message(message);
  if (!plain_.open) return lone_message(message);
  if (plain_.changes++ == 0 && !plain_.known) open_transaction();
  if (plain_.known) return;
  patiently([&] { log_.append(message); });
}

void StreamDecoder::lone_message(ByteView message) {
  if (pgoutput::type_of(message) != MessageType::kMessage) out_of_order("change outside of a transaction");
  const pgoutput::LogicalMessage lone = pgoutput::parse_message(message);
  if (lone.transactional) out_of_order("transactional message outside of a transaction");
  if (lone.lsn <= log_.end().commit_end) return;
  overlap_.passed();
  patiently([&] { log_.message(lone.lsn, message); });
  passed_ = lone.lsn;
  ++counts_.changes;
}

void StreamDecoder::spill_message(ByteView message) {
  const auto taken = pgoutput::take_sub_xid({const_cast<char*>(message.data()), message.size()});
  const Xid sub = taken.sub_xid;
  const ByteView plain = taken.message;
  Streamed& streamed = streamed_[segment_.value()];
  if (!streamed.spill) patiently([&] { streamed.spill = log_.open_spill(segment_); });
  patiently([&] { streamed.spill->append(sub, plain); });
  if (plain.front() == static_cast<char>(MessageType::kRelation)) {
    streamed.relations.emplace_back(sub, plain);
  } else {
    ++streamed.changes[sub.value()];
  }
}

void StreamDecoder::stream_start(ByteView message) {
  if (inside()) out_of_order("stream start inside a transaction");
  segment_ = pgoutput::parse_stream_start(message).xid;
  if (!segment_.valid()) out_of_order("stream start without a transaction's id");
  streamed_.try_emplace(segment_.value());
}

void StreamDecoder::stream_commit(ByteView message) {
  if (inside()) out_of_order("stream commit inside a transaction");
  const pgoutput::StreamCommit end = pgoutput::parse_stream_commit(message);
  auto node = streamed_.extract(end.xid.value());
  Streamed streamed = node ? std::move(node.mapped()) : Streamed{};
  const CommitRecord record{end.commit_lsn, end.end_lsn, end.xid, end.commit_time, std::move(streamed.origin)};
  const std::uint64_t changes = streamed.total_changes();
  if (known(end.commit_lsn)) {
    if (changes > 0) overlap_.resent(record);
    return keep_relations(streamed);
  }
  overlap_.passed();
  passed_ = end.end_lsn;
  if (changes == 0) return keep_relations(streamed);
  adopt(std::move(streamed), record);
  count(record, changes);
}

void StreamDecoder::keep_relations(const Streamed& streamed) {
  for (const auto& [sub, bytes] : streamed.relations) pending_relations_.push_back(resolve_(bytes));
}

void StreamDecoder::adopt(Streamed streamed, const CommitRecord& record) {
  TAILRACE_CRASH_POINT("source.before_adopt");
  patiently([&] { log_.adopt(*streamed.spill, record, resolve_); });
  // The transaction's own relations are newer than what still waits to be told.
  for (const auto& [sub, bytes] : streamed.relations) {
    const Oid oid = pgoutput::parse_relation(bytes).oid;
    std::erase_if(pending_relations_, [&](const RelationPtr& relation) { return relation->oid == oid; });
  }
}

void StreamDecoder::stream_abort(ByteView message) {
  if (inside()) out_of_order("stream abort inside a transaction");
  const pgoutput::StreamAbort aborted = pgoutput::parse_stream_abort(message);
  const auto found = streamed_.find(aborted.xid.value());
  if (found == streamed_.end()) return;
  if (aborted.xid == aborted.sub_xid) {
    streamed_.erase(found);
    return;
  }
  Streamed& streamed = found->second;
  streamed.changes.erase(aborted.sub_xid.value());
  std::erase_if(streamed.relations, [&](const auto& entry) { return entry.first == aborted.sub_xid; });
  if (streamed.spill) patiently([&] { streamed.spill->abort(aborted.sub_xid); });
}

void StreamDecoder::count(const CommitRecord& record, std::uint64_t changes) {
  ++counts_.transactions;
  counts_.changes += changes;
  counts_.last_commit_time = record.commit_time;
}

}  // namespace tailrace::postgres
