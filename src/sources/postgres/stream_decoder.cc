#include "sources/postgres/stream_decoder.h"

#include <algorithm>
#include <set>

#include "base/crash_point.h"
#include "pgoutput/messages.h"

namespace tailrace::postgres {
namespace {

using pgoutput::MessageType;

[[noreturn]] void out_of_order(const char* what) {
  throw BadDataError("TR310", std::string("pgoutput messages in an impossible order: ") + what,
                     "the server's or a proxy's bytes are not what PostgreSQL documents; nothing was applied");
}

std::vector<Oid> relations_of(ByteView message) {
  const MessageType type = pgoutput::type_of(message);
  if (type == MessageType::kMessage) return {};
  if (type == MessageType::kTruncate) return pgoutput::parse_truncate(message).relations;
  return {pgoutput::parse_row_change(message).relation};
}

bool tells_of_ddl(ByteView message) {
  return message.front() == static_cast<char>(MessageType::kMessage) &&
         pgoutput::parse_message(message).prefix == kDdlPrefix;
}

}  // namespace

StreamDecoder::StreamDecoder(TransactionLog& log, RelationResolver resolve, Overlap overlap,
                             std::function<void(const RetryError&)> wait_for_room, Lsn adopted_until)
    : log_(log),
      resolve_(std::move(resolve)),
      overlap_(std::move(overlap)),
      wait_for_room_(std::move(wait_for_room)),
      adopted_until_(adopted_until),
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
  for (const auto& [xid, prepared] : prepared_)
    if (prepared.content.spill) total += prepared.content.spill->bytes();
  return total;
}

Lsn StreamDecoder::confirmable(Lsn durable) const {
  Lsn held = durable;
  // What began below the connection's beginning comes again with its end, since the slot had no two phases then.
  for (const auto& [xid, prepared] : prepared_)
    if (prepared.prepare_lsn >= overlap_.start()) held = std::min(held, prepared.prepare_lsn);
  return held;
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
    case MessageType::kBeginPrepare: return begin_prepare(message);
    case MessageType::kPrepare: return prepare(message);
    case MessageType::kStreamPrepare: return stream_prepare(message);
    case MessageType::kCommitPrepared: return commit_prepared(message);
    case MessageType::kRollbackPrepared: return rollback_prepared(message);
    case MessageType::kDescription: out_of_order("a message of the log's own");
  }
}

void StreamDecoder::progress(Lsn end) {
  if (inside() || end <= log_.end().commit_end) return;
  overlap_.passed();
  if (describing()) return write_descriptions(end);
  patiently([&] { log_.progress(end); });
  passed_ = end;
}

void StreamDecoder::describe(const std::vector<RelationPtr>& relations) {
  for (const RelationPtr& relation : relations) {
    outdate(relation->oid);
    described_.push_back(relation);
  }
}

void StreamDecoder::write_descriptions(Lsn end) {
  patiently([&] { log_.describe(end, described_); });
  described_.clear();
  passed_ = end;
}

void StreamDecoder::outdate(Oid oid) {
  std::erase_if(described_, [oid](const RelationPtr& relation) { return relation->oid == oid; });
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
  if (plain_.known) return;
  overlap_.passed();
  // What ended before has come, and the transaction's own end lies behind its commit record.
  if (describing() && begun.final_lsn > log_.end().commit_end) write_descriptions(begun.final_lsn);
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
  } else if (preparing_) {
    preparing_->content.origin = std::move(name);
  } else {
    out_of_order("origin");
  }
}

void StreamDecoder::relation(ByteView message) {
  if (segment_.valid()) return spill_message(message);
  sent_relations_[pgoutput::parse_relation(message).oid.value()] = message;
  if (preparing_) prepared_relation(*preparing_, message);
  RelationPtr relation = resolve_(message);
  outdate(relation->oid);
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
  if (preparing_) return prepared_message(message);
  if (!plain_.open) return lone_message(message);
  if (plain_.changes++ == 0 && !plain_.known) open_transaction();
  if (plain_.known) return;
  if (tells_of_ddl(message)) ddl_noticed_ = true;
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

void StreamDecoder::spill(Streamed& streamed, Xid xid, Xid sub, ByteView message) {
  if (!streamed.spill) patiently([&] { streamed.spill = log_.open_spill(xid); });
  patiently([&] { streamed.spill->append(sub, message); });
}

void StreamDecoder::spill_message(ByteView message) {
  const auto taken = pgoutput::take_sub_xid({const_cast<char*>(message.data()), message.size()});
  const Xid sub = taken.sub_xid;
  const ByteView plain = taken.message;
  Streamed& streamed = streamed_[segment_.value()];
  spill(streamed, segment_, sub, plain);
  if (tells_of_ddl(plain)) streamed.has_ddl = true;
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
  for (const auto& [sub, bytes] : streamed.relations)
    sent_relations_[pgoutput::parse_relation(bytes).oid.value()] = bytes;
  if (known(end.commit_lsn)) {
    if (changes > 0) overlap_.resent(record);
    return keep_relations(streamed);
  }
  overlap_.passed();
  passed_ = end.end_lsn;
  if (changes == 0) return keep_relations(streamed);
  adopt(streamed, record);
  count(record, changes);
}

void StreamDecoder::keep_relations(const Streamed& streamed) {
  for (const auto& [sub, bytes] : streamed.relations) pending_relations_.push_back(resolve_(bytes));
}

void StreamDecoder::adopt(Streamed& streamed, const CommitRecord& record) {
  TAILRACE_CRASH_POINT("source.before_adopt");
  patiently([&] { log_.adopt(*streamed.spill, record, resolve_); });
  if (streamed.has_ddl) ddl_noticed_ = true;
  // The log takes the transaction's own relations for the last ones.
  for (const auto& [sub, bytes] : streamed.relations) {
    const Oid oid = pgoutput::parse_relation(bytes).oid;
    outdate(oid);
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

void StreamDecoder::begin_prepare(ByteView message) {
  if (inside()) out_of_order("begin prepare inside a transaction");
  const pgoutput::Prepare begun = pgoutput::parse_prepare(message);
  preparing_ = Prepared{begun.xid, begun.prepare_lsn, std::string(begun.gid), {}, {}};
}

void StreamDecoder::prepared_relation(Prepared& prepared, ByteView message) {
  Streamed& content = prepared.content;
  spill(content, prepared.xid, prepared.xid, message);
  content.relations.emplace_back(prepared.xid, message);
  prepared.told.insert(pgoutput::parse_relation(message).oid.value());
}

void StreamDecoder::prepared_message(ByteView message) {
  Prepared& prepared = *preparing_;
  for (const Oid oid : relations_of(message)) {
    if (prepared.told.contains(oid.value())) continue;
    const auto sent = sent_relations_.find(oid.value());
    if (sent != sent_relations_.end()) prepared_relation(prepared, sent->second);
  }
  spill(prepared.content, prepared.xid, prepared.xid, message);
  ++prepared.content.changes[prepared.xid.value()];
}

void StreamDecoder::prepare(ByteView message) {
  const pgoutput::Prepare end = pgoutput::parse_prepare(message);
  if (!preparing_ || preparing_->xid != end.xid) out_of_order("prepare");
  prepared_.insert_or_assign(end.xid.value(), std::move(*preparing_));
  preparing_.reset();
}

void StreamDecoder::stream_prepare(ByteView message) {
  if (inside()) out_of_order("stream prepare inside a transaction");
  const pgoutput::Prepare end = pgoutput::parse_prepare(message);
  auto node = streamed_.extract(end.xid.value());
  prepared_.insert_or_assign(
      end.xid.value(),
      Prepared{end.xid, end.prepare_lsn, std::string(end.gid), node ? std::move(node.mapped()) : Streamed{}, {}});
}

void StreamDecoder::commit_prepared(ByteView message) {
  if (inside()) out_of_order("commit prepared inside a transaction");
  const pgoutput::CommitPrepared end = pgoutput::parse_commit_prepared(message);
  CommitRecord record{end.commit_lsn, end.end_lsn, end.xid, end.commit_time, {}};
  auto node = prepared_.extract(end.xid.value());
  if (!node || node.mapped().gid != end.gid) return unseen_content(record, end.gid);
  Streamed content = std::move(node.mapped().content);
  record.origin = std::move(content.origin);
  const std::uint64_t changes = content.total_changes();
  if (known(end.commit_lsn)) {
    if (changes > 0) overlap_.resent(record);
    return;
  }
  overlap_.passed();
  passed_ = end.end_lsn;
  if (changes == 0) return;
  adopt_prepared(std::move(content), record);
  count(record, changes);
}

void StreamDecoder::unseen_content(const CommitRecord& record, ByteView gid) {
  if (known(record.commit_lsn)) {
    // Another transaction that is still prepared held the slot back to a place between this one's two ends.
    if (log_.find_commit(record.end_lsn)) overlap_.resent(record);
    return;
  }
  overlap_.passed();
  passed_ = record.end_lsn;
  if (record.end_lsn <= adopted_until_) return;
  throw RefusedError("TR131",
                     "transaction " + std::to_string(record.xid.value()) + ", prepared as '" + std::string(gid) +
                         "', was committed at " + record.end_lsn.str() +
                         ", but what it changed was sent to another reader of the slot",
                     "start a new pipeline with a copy (drop this one first)");
}

void StreamDecoder::adopt_prepared(Streamed content, const CommitRecord& record) {
  adopt(content, record);
  // Its relations are those of its PREPARE. The others' may be younger.
  std::set<std::uint32_t> told;
  for (const auto& [sub, bytes] : content.relations) {
    const std::uint32_t oid = pgoutput::parse_relation(bytes).oid.value();
    const auto sent = sent_relations_.find(oid);
    if (told.insert(oid).second && sent != sent_relations_.end()) pending_relations_.push_back(resolve_(sent->second));
  }
}

void StreamDecoder::rollback_prepared(ByteView message) {
  if (inside()) out_of_order("rollback prepared inside a transaction");
  const pgoutput::RollbackPrepared end = pgoutput::parse_rollback_prepared(message);
  prepared_.erase(end.xid.value());
  passed_ = std::max(passed_, end.rollback_end_lsn);
}

void StreamDecoder::count(const CommitRecord& record, std::uint64_t changes) {
  ++counts_.transactions;
  counts_.changes += changes;
  counts_.last_commit_time = record.commit_time;
}

}  // namespace tailrace::postgres
