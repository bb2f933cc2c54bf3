#include "journal/log_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "pgoutput/messages.h"

namespace tailrace::journal {
namespace {

/// PostgreSQL's own bound.
constexpr std::uint64_t kLongestMessage = 0x7fffffff;

bool full(const BatchBuilder& batch, const BatchLimits& limits) {
  return batch.changes() >= limits.max_changes || batch.bytes() >= limits.max_bytes;
}

/// Of a transaction whose frames stand in segments.
class LoggedGiant final : public Giant {
 public:
  LoggedGiant(const Store& store, Tail& tail, ChunkPool& chunks, Place start, Place commit)
      : frames_(store, tail, chunks, start), commit_(commit), decoder_(store.directory) {}

  void fill(BatchBuilder& batch, const BatchLimits& limits) override {
    while (!full(batch, limits)) {
      if (!rest_) {
        if (frames_.next(frame_) != FrameStream::Step::kFrame || frame_.place >= commit_) return;
        rest_ = 0;
      }
      rest_ = decoder_.give(frame_.type, frame_.payload, *rest_, frames_.pin(), batch, limits);
    }
  }

 private:
  FrameStream frames_;
  Place commit_;
  FrameDecoder decoder_;
  Frame frame_;
  /// Where to go on in frame_.
  std::optional<std::size_t> rest_;
};

/// Of a streamed transaction in a file of its own.
class AdoptedGiant final : public Giant {
 public:
  explicit AdoptedGiant(std::unique_ptr<AdoptedFile> file) : file_(std::move(file)) {}

  void fill(BatchBuilder& batch, const BatchLimits& limits) override {
    AdoptedFile::Message message;
    while (!full(batch, limits) && file_->next(message)) {
      if (message.is_relation) {
        batch.relation(message.bytes);
        continue;
      }
      batch.pin(file_->pin());
      batch.message(message.bytes);
    }
  }

 private:
  std::unique_ptr<AdoptedFile> file_;
};

}  // namespace

std::optional<ByteView> RelationFrames::take(FrameType type, ByteView payload) {
  if (type == FrameType::kRelation) return payload;
  if (type != FrameType::kFragment) return std::nullopt;
  ByteReader in(payload);
  const std::uint64_t total = in.le64();
  const std::uint64_t at = in.le64();
  const ByteView part = in.rest();
  if (at == 0) long_.clear();
  // A reader may begin behind the first part, and most fragments are of messages.
  if (at != long_.size() || (at == 0 && !part.starts_with(kLongRelation))) return std::nullopt;
  long_ += part;
  if (long_.size() < total) return std::nullopt;
  return ByteView(long_).substr(1);
}

void PendingTransaction::add(const Frame& frame, const ChunkPtr& pin) {
  bytes_ += frame.payload.size();
  if (dropped_) {
    if (const auto said = described_.take(frame.type, frame.payload)) relations_.emplace_back(*said);
    return;
  }
  if (pins_.empty() || pins_.back() != pin) pins_.push_back(pin);
  frames_.push_back({frame.type, frame.payload, pins_.size() - 1});
}

void PendingTransaction::drop_frames() {
  for (const Held& held : frames_)
    if (const auto said = described_.take(held.type, held.payload)) relations_.emplace_back(*said);
  frames_.clear();
  pins_.clear();
  dropped_ = true;
}

void PendingTransaction::teach(Relations& relations) const {
  for (const std::string& encoded : relations_) relations.set(decode_relation(encoded));
  RelationFrames described;
  for (const Held& held : frames_)
    if (const auto said = described.take(held.type, held.payload)) relations.set(decode_relation(*said));
}

std::optional<std::size_t> FrameDecoder::give(FrameType type, ByteView payload, std::size_t offset, const ChunkPtr& pin,
                                              BatchBuilder& batch, const BatchLimits& limits) {
  if (type == FrameType::kRelation) {
    batch.relation(payload);
    return std::nullopt;
  }
  if (type == FrameType::kFragment) {
    ByteReader in(payload);
    const std::uint64_t total = in.le64();
    const std::uint64_t at = in.le64();
    if (at == 0) {
      if (total == 0 || total > kLongestMessage) throw OutOfBytes();
      long_message_ = std::make_shared<LongMessage>(directory_, total);
    }
    if (!long_message_ || at != long_message_->added() || total != long_message_->size() || at + in.left() > total)
      throw OutOfBytes();
    long_message_->add(in.rest());
    if (long_message_->added() < total) return std::nullopt;
    const ByteView whole = long_message_->bytes();
    if (whole.front() == kLongRelation) {
      batch.relation(whole.substr(1));
    } else {
      batch.pin(long_message_);
      batch.message(whole);
    }
    long_message_.reset();
    return std::nullopt;
  }
  if (type != FrameType::kData) return std::nullopt;
  batch.pin(pin);
  ByteReader in(payload.substr(offset));
  while (!in.empty()) {
    if (full(batch, limits)) return payload.size() - in.left();
    batch.message(in.bytes(in.le32()));
  }
  return std::nullopt;
}

LogReader::LogReader(const Store& store, Tail& tail, ChunkPool& chunks, const Cursor& from, Place start)
    : store_(store), tail_(tail), chunks_(chunks), skip_to_(from.position) {
  frames_.emplace(store_, tail_, chunks_, start);
  read_.end = from.position;
  read_.seq = from.seq;
  read_.commit_time = from.commit_time;
}

ChangeBatchPtr LogReader::next(const BatchLimits& limits, std::stop_token stop, std::chrono::milliseconds max_wait) {
  const auto deadline = SteadyClock::now() + max_wait;
  try {
    BatchBuilder batch(relations_);
    for (;;) {
      if (giant_) return giant_part(limits);
      if (held_) {
        // All of a batch is of one epoch, and an epoch's beginning stands alone.
        const bool epoch = held_->frame.type == FrameType::kEpoch;
        if (epoch && batch.moved()) return batch.finish();
        if (!give_held(batch, limits) || epoch || full(batch, limits)) return batch.finish();
        continue;
      }
      Frame frame;
      const FrameStream::Step step = frames_->next(frame);
      if (step == FrameStream::Step::kGone) {
        relocate();
        continue;
      }
      if (step == FrameStream::Step::kFrame) {
        take(frame, limits);
        continue;
      }
      if (batch.moved()) return batch.finish();
      if (stop.stop_requested() || !tail_.wait_behind(frames_->place(), stop, deadline)) return nullptr;
    }
  } catch (const OutOfBytes&) {
    throw_damage(frames_->place(), "a frame before this offset is not what its type says");
  } catch (const BadDataError& error) {
    throw_damage(frames_->place(), error.what());
  }
}

void LogReader::relocate() {
  const auto place = tail_.find(read_.end);
  if (!place) {
    throw CorruptionError("TR405", "the journal was trimmed beyond what this reader has given",
                          "the tables behind this cursor must be copied again");
  }
  frames_.emplace(store_, tail_, chunks_, *place);
  pending_.clear();
  skip_to_ = read_.end;
}

void LogReader::take(const Frame& frame, const BatchLimits& limits) {
  switch (frame.type) {
    case FrameType::kData:
    case FrameType::kFragment:
    case FrameType::kRelation:
      if (frame.starts_transaction) pending_.begin(frame.place);
      if (!pending_.open()) {
        // It began before our first segment and is not wanted, but what follows relies on what it says here.
        if (const auto said = passed_.take(frame.type, frame.payload)) relations_.set(decode_relation(*said));
        return;
      }
      pending_.add(frame, frames_->pin());
      if (!pending_.dropped() && pending_.bytes() > limits.max_bytes) pending_.drop_frames();
      return;
    case FrameType::kCommit:
      if (frame.starts_transaction) pending_.begin(frame.place);
      hold(frame);
      return;
    case FrameType::kAdopt:
      pending_.clear();
      hold(frame);
      return;
    case FrameType::kMessage:
    case FrameType::kProgress:
    case FrameType::kEpoch: hold(frame); return;
    case FrameType::kSegment:
    case FrameType::kHistory: return;
  }
}

void LogReader::hold(const Frame& frame) {
  const LogState after = state_after(read_, frame);
  if (after.end <= skip_to_) {
    if (frame.type == FrameType::kCommit) {
      pending_.teach(relations_);
      pending_.clear();
    }
    return;
  }
  held_ = Unit{frame, frames_->pin(), after};
}

bool LogReader::give_held(BatchBuilder& batch, const BatchLimits& limits) {
  ByteView payload = held_->frame.payload;
  switch (held_->frame.type) {
    case FrameType::kCommit: {
      const auto unit = take_record<UnitRecord>(payload);
      if (!give_transaction(batch, limits, unit)) return false;
      break;
    }
    case FrameType::kAdopt: {
      if (!batch.empty()) return false;
      const auto unit = take_record<UnitRecord>(payload);
      const auto adopt = take_record<AdoptRecord>(payload);
      begin_giant(unit,
                  std::make_unique<AdoptedGiant>(std::make_unique<AdoptedFile>(
                      store_.files, store_.directory, held_->frame.place.segment, adopt, store_.direct, chunks_)));
      break;
    }
    case FrameType::kMessage: {
      const auto unit = take_record<UnitRecord>(payload);
      give_message(batch, unit, payload);
      break;
    }
    default: break;
  }
  read_ = held_->state;
  held_.reset();
  if (!giant_) batch.set_end(read_.cursor());
  return true;
}

bool LogReader::give_transaction(BatchBuilder& batch, const BatchLimits& limits, const UnitRecord& unit) {
  if (!pending_.open()) throw_damage(held_->frame.place, "the transaction that ends here has no beginning");
  const bool fits =
      batch.changes() + unit.changes <= limits.max_changes && batch.bytes() + unit.bytes <= limits.max_bytes;
  if (!fits && !batch.empty()) return false;
  if (!fits || pending_.dropped()) {
    if (!batch.empty()) return false;
    begin_giant(unit, std::make_unique<LoggedGiant>(store_, tail_, chunks_, pending_.start(), held_->frame.place));
    pending_.clear();
    return true;
  }
  batch.begin(transaction_of(unit), 0, unit.changes);
  FrameDecoder decoder(store_.directory);
  constexpr BatchLimits kWhole{~0ULL, ~0ULL};
  for (const auto& held : pending_.frames())
    decoder.give(held.type, held.payload, 0, pending_.pin(held), batch, kWhole);
  if (batch.ordinal() != unit.changes)
    throw_damage(held_->frame.place, fmt::format("{} changes instead of {}", batch.ordinal(), unit.changes));
  pending_.clear();
  return true;
}

void LogReader::give_message(BatchBuilder& batch, const UnitRecord& unit, ByteView message) {
  batch.begin(transaction_of(unit), 0, 1);
  batch.pin(held_->pin);
  batch.message(message);
}

void LogReader::begin_giant(const UnitRecord& unit, std::unique_ptr<Giant> giant) {
  giant_ = std::move(giant);
  giant_transaction_ = transaction_of(unit);
  giant_end_ = held_->state;
  giant_given_ = 0;
}

ChangeBatchPtr LogReader::giant_part(const BatchLimits& limits) {
  BatchBuilder batch(relations_);
  Transaction transaction = giant_transaction_;
  transaction.first_part = giant_given_ == 0;
  batch.begin(transaction, giant_given_, std::min(limits.max_changes, transaction.changes - giant_given_));
  giant_->fill(batch, limits);
  const std::uint64_t given = batch.ordinal();
  const bool last = given == giant_transaction_.changes;
  if (!last && given == giant_given_)
    throw_damage(frames_->place(), fmt::format("a large transaction before this offset ends after {} changes of {}",
                                               given, giant_transaction_.changes));
  batch.set_last_part(last);
  giant_given_ = given;
  if (last) {
    batch.set_end(giant_end_.cursor());
    giant_.reset();
  } else {
    const Seq seq = transaction.change_seq(given - 1);
    batch.set_end({transaction.position(given), seq, transaction.commit_time});
  }
  return batch.finish();
}

}  // namespace tailrace::journal
