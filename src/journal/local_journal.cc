#include "journal/local_journal.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/file_bytes.h"
#include "base/let_go.h"
#include "journal/log_reader.h"
#include "journal/recovery.h"
#include "pgoutput/messages.h"

namespace tailrace::journal {
namespace {

/// Chunks kept for use again, beside those in the ring.
constexpr std::size_t kSpareChunks = 16;
/// How many segments have room below the size limit.
constexpr std::uint64_t kSegmentsAtLeast = 4;

Options checked(Options options) {
  if (options.segment_bytes < kMinSegment || options.segment_bytes > kMaxSegment) {
    throw BadConfigError("TR406", fmt::format("a segment of {} bytes is not possible", options.segment_bytes),
                         fmt::format("give between {} and {} bytes", kMinSegment, kMaxSegment));
  }
  if (options.max_bytes < kSegmentsAtLeast * kMinSegment) {
    throw BadConfigError("TR406", fmt::format("a journal of at most {} bytes is not possible", options.max_bytes),
                         fmt::format("give {} bytes or more", kSegmentsAtLeast * kMinSegment));
  }
  options.segment_bytes = align_down(std::min(options.segment_bytes, options.max_bytes / kSegmentsAtLeast), kBlock);
  options.remembered_commits = std::min(options.remembered_commits, kMaxPayload / sizeof(HistoryRecord));
  if (options.files == nullptr) options.files = &posix_files();
  options.files->make_directory(options.directory);
  options.files->make_directory(options.spill_directory);
  return options;
}

/// Calls `use` with each relation the change message names.
template <typename Use>
void for_each_relation(ByteView message, Use use) {
  switch (pgoutput::type_of(message)) {
    case pgoutput::MessageType::kInsert:
    case pgoutput::MessageType::kUpdate:
    case pgoutput::MessageType::kDelete: {
      ByteReader in(message.substr(1));
      use(Oid(in.be32()));
      return;
    }
    case pgoutput::MessageType::kDescription: return use(pgoutput::parse_description(message));
    case pgoutput::MessageType::kTruncate:
      for (const Oid oid : pgoutput::parse_truncate(message).relations) use(oid);
      return;
    default: return;
  }
}

}  // namespace

std::unique_ptr<Journal> Journal::open(const Options& options) {
  return std::make_unique<LocalJournal>(checked(options));
}

LocalJournal::LocalJournal(const Options& options)
    : store_{*options.files, options.directory, options.direct_io},
      segment_bytes_(options.segment_bytes),
      chunks_(kSpareChunks),
      space_(options.max_bytes),
      tail_(options.ring_bytes),
      ledger_{{{options.first_epoch, Lsn(), 0}, options.seq_floor, PgTime(), PgTime()},
              History(options.remembered_commits),
              std::nullopt},
      writer_({store_.files, store_.directory, options.segment_bytes, store_.direct}, chunks_, space_, tail_, ledger_),
      spills_({store_.files, options.spill_directory, options.spill_memory, store_.direct}, chunks_, space_) {
  const Recovered found = recover(options, store_, chunks_, space_, ledger_);
  for (const SegmentInfo& segment : found.segments) tail_.add_segment(segment, segment.record.previous_end);
  ledger_.state.seq = std::max(ledger_.state.seq, options.seq_floor);
  if (found.segments.empty()) {
    writer_.start(1, 0);
    return;
  }
  const SegmentRecord& last = found.segments.back().record;
  adopted_segment_ = last.number;
  next_adopted_ = found.next_adopted;
  if (found.cut || last.size != options.segment_bytes) {
    const auto old = store_.files.open(store_.directory / segment_name(last.number), store_.direct);
    // What a dead process wrote may still be on its way to the disk, and the next segment says that it is there.
    old->sync();
    writer_.start(last.number + 1, found.end);
    // What is void behind the end needs no space either.
    const std::uint64_t used = align_up(found.end, kBlock);
    old->truncate(used);
    space_.give_back(found.segments.back().file_bytes - used);
    tail_.shrink(last.number, used);
  } else {
    writer_.resume(last, found.end);
  }
  tail_.set_durable(ledger_.state);
}

void LocalJournal::abandon() {
  if (in_transaction_ && !first_) {
    // Readers pass over what the abandoned transaction said, its relations included.
    for (auto& [oid, announced] : relations_) announced.segment = 0;
  }
  in_transaction_ = false;
  ledger_.open_from.reset();
  current_oid_ = 0;
}

void LocalJournal::begin(Xid) {
  writer_.check();
  abandon();
  in_transaction_ = first_ = true;
  changes_ = bytes_ = 0;
}

void LocalJournal::relation(const RelationPtr& relation) {
  Announced& announced = relations_[relation->oid];
  if (announced.relation && *announced.relation == *relation) return;
  announced = {relation, 0};
  current_oid_ = 0;
}

void LocalJournal::note_frame() {
  if (!first_) return;
  first_ = false;
  ledger_.open_from = writer_.segment();
}

void LocalJournal::announce(Oid oid) {
  const auto at = relations_.find(oid);
  if (at == relations_.end()) throw DefectError("a change names a relation that was not announced to the journal");
  if (at->second.segment == writer_.segment()) return;
  const std::string encoded = encode_relation(*at->second.relation);
  if (encoded.size() <= kFragmentBytes) {
    writer_.frame(FrameType::kRelation, first_, {encoded});
    note_frame();
  } else {
    announce_long(*at->second.relation, kLongRelation + encoded);
  }
  at->second.segment = writer_.segment();
}

void LocalJournal::announce_long(const Relation& relation, ByteView message) {
  if (message.size() > segment_bytes_ / 2)
    throw RefusedError("TR146",
                       fmt::format("the description of {} takes {} KiB, more than half a segment of the log",
                                   relation.display_name(), message.size() >> 10),
                       "leave the table out, or give the log more room (log.journal.max_size)");
  // Whoever begins to read in a segment has to find all of it there.
  std::uint64_t begun = 0;
  do {
    begun = writer_.segment();
    append_fragments(message);
  } while (begun != writer_.segment());
}

void LocalJournal::announce(ByteView message) {
  for_each_relation(message, [this](Oid oid) { announce(oid); });
}

bool LocalJournal::announced(ByteView message) const {
  bool all = true;
  for_each_relation(message, [&](Oid oid) { all = all && relations_.at(oid).segment == writer_.segment(); });
  return all;
}

void LocalJournal::append_with_care(ByteView message) {
  writer_.check();
  if (!in_transaction_) throw DefectError("a change outside of a transaction was given to the journal");
  const std::uint64_t changes = pgoutput::ordinals_of(message);
  if (changes == 0) return;  // A truncate of nothing that is published.
  current_oid_ = 0;
  const bool whole = message.size() <= kFragmentBytes;
  // Making room may begin a new segment, which does not know the relation yet.
  do {
    announce(message);
    if (whole) {
      writer_.begin_data(message.size(), first_);
    } else {
      writer_.reserve(kFragmentBytes + 2 * sizeof(std::uint64_t));
    }
  } while (!announced(message));
  if (whole) {
    note_frame();
    writer_.try_data(message);
    const bool row = message.front() == 'I' || message.front() == 'U' || message.front() == 'D';
    if (row) current_oid_ = relation_oid(message);
  } else {
    append_fragments(message);
  }
  changes_ += changes;
  bytes_ += message.size();
}

void LocalJournal::append_fragments(ByteView message) {
  const std::uint64_t total = message.size();
  const bool is_long = total >= long_bytes();
  for (std::uint64_t offset = 0; offset < total; offset += kFragmentBytes) {
    const ByteView part = message.substr(offset, kFragmentBytes);
    writer_.frame(FrameType::kFragment, first_, {record_bytes(total), record_bytes(offset), part});
    note_frame();
    if (is_long) let_go(part);
  }
}

UnitRecord LocalJournal::unit_of(const CommitRecord& record, std::uint64_t changes, std::uint64_t bytes) const {
  const LogState& state = ledger_.state;
  if (record.end_lsn <= state.end.commit_end) {
    throw DefectError(fmt::format("a unit that ends at {} was given to a journal that ends at {}", record.end_lsn.str(),
                                  state.end.str()));
  }
  UnitRecord unit;
  unit.commit_end = record.end_lsn.value();
  unit.commit_lsn = record.commit_lsn.value();
  unit.commit_time = record.commit_time.micros();
  unit.monotone_time = std::max(record.commit_time, state.monotone_time).micros();
  unit.seq = std::max(state.seq.value() + 1, record.end_lsn.value());
  unit.changes = changes;
  unit.bytes = bytes;
  unit.epoch = state.end.epoch;
  unit.xid = record.xid.value();
  return unit;
}

Position LocalJournal::complete(const UnitRecord& unit) {
  LogState& state = ledger_.state;
  state.end = {unit.epoch, Lsn(unit.commit_end), unit.changes};
  state.seq = Seq(unit.seq + std::max<std::uint64_t>(unit.changes, 1) - 1);
  state.commit_time = PgTime(unit.commit_time);
  state.monotone_time = PgTime(unit.monotone_time);
  return state.end;
}

Position LocalJournal::commit(const CommitRecord& record) {
  if (!in_transaction_) throw DefectError("a commit without a transaction was given to the journal");
  const UnitRecord unit = unit_of(record, changes_, bytes_);
  writer_.frame(FrameType::kCommit, first_, {record_bytes(unit), record.origin});
  in_transaction_ = false;
  current_oid_ = 0;
  ledger_.open_from.reset();
  if (record.xid.valid())
    ledger_.history.add(unit.epoch, {record.end_lsn, record.xid, record.commit_time, unit.changes});
  return complete(unit);
}

Position LocalJournal::describe(Lsn end, const std::vector<RelationPtr>& relations) {
  begin(Xid());
  for (const RelationPtr& described : relations) {
    relation(described);
    append(pgoutput::description_of(described->oid));
  }
  return commit({end, end, Xid(), ledger_.state.commit_time, {}});
}

Position LocalJournal::adopt(Spill& spill, const CommitRecord& record, const RelationResolver& resolver) {
  writer_.check();
  auto& stored = dynamic_cast<StoredSpill&>(spill);
  return stored.in_file() ? adopt_file(stored, record, resolver) : adopt_small(stored, record, resolver);
}

Position LocalJournal::adopt_small(StoredSpill& spill, const CommitRecord& record, const RelationResolver& resolver) {
  begin(record.xid);
  spill.for_each([&](ByteView message, std::uint64_t) {
    if (message.front() == 'R') {
      relation(resolver(message));
    } else {
      append(message);
    }
  });
  return commit(record);
}

Position LocalJournal::adopt_file(StoredSpill& spill, const CommitRecord& record, const RelationResolver& resolver) {
  abandon();
  std::vector<Footer::RelationAt> relations;
  std::unordered_map<Oid, std::pair<std::string, RelationPtr>> overlay;
  for (const auto& [offset, sub_xid, message] : spill.relations()) {
    auto& [said, relation] = overlay[pgoutput::parse_relation(message).oid];
    if (said == message) continue;
    said = message;
    relation = resolver(message);
    relations.push_back({offset, encode_relation(*relation)});
  }

  const auto counts = spill.counts();
  const UnitRecord unit = unit_of(record, counts.changes, counts.bytes);
  AdoptRecord adopt = spill.finish(std::move(relations));
  // The file is named after the segment that names it, so the frame must not move to the next one.
  writer_.reserve(sizeof(unit) + sizeof(adopt) + record.origin.size());
  if (std::exchange(adopted_segment_, writer_.segment()) != writer_.segment()) next_adopted_ = 1;
  adopt.file_number = next_adopted_++;
  TAILRACE_CRASH_POINT("spill.rename");
  const auto name = adopted_name(writer_.segment(), adopt.file_number);
  store_.files.rename(spill.path(), store_.directory / name);
  const std::uint64_t size = spill.release();
  tail_.count_adopted(writer_.segment(), size);
  store_.files.sync_directory(store_.directory);
  TAILRACE_CRASH_POINT("spill.before_adopt_frame");
  writer_.frame(FrameType::kAdopt, true, {record_bytes(unit), record_bytes(adopt), record.origin});

  for (auto& [oid, said] : overlay) relation(said.second);
  ledger_.history.add(unit.epoch, {record.end_lsn, record.xid, record.commit_time, unit.changes});
  return complete(unit);
}

Position LocalJournal::message(Lsn end, ByteView message) {
  const pgoutput::LogicalMessage logical = pgoutput::parse_message(message);
  CommitRecord record;
  record.commit_lsn = logical.lsn;
  record.end_lsn = end;
  record.commit_time = ledger_.state.commit_time;
  if (message.size() > kFragmentBytes) {
    // Too long for a frame: a transaction of its own.
    begin(Xid());
    append(message);
    return commit(record);
  }
  const UnitRecord unit = unit_of(record, 1, message.size());
  writer_.frame(FrameType::kMessage, false, {record_bytes(unit), message});
  current_oid_ = 0;
  return complete(unit);
}

void LocalJournal::place(FrameType type, std::uint32_t epoch, Lsn lsn) {
  PlaceRecord record;
  record.lsn = lsn.value();
  record.epoch = epoch;
  writer_.frame(type, false, {record_bytes(record)});
  current_oid_ = 0;
  ledger_.state.end = {epoch, lsn, 0};
}

void LocalJournal::progress(Lsn end) {
  writer_.check();
  if (end > ledger_.state.end.commit_end) place(FrameType::kProgress, ledger_.state.end.epoch, end);
}

Position LocalJournal::raise_epoch(Lsn from) {
  abandon();
  place(FrameType::kEpoch, ledger_.state.end.epoch + 1, from);
  sync();
  return ledger_.state.end;
}

Lsn LocalJournal::sync() {
  writer_.sync();
  current_oid_ = 0;
  return durable_end();
}

std::optional<LoggedCommit> LocalJournal::find_commit(Lsn end) const {
  return ledger_.history.find(ledger_.state.end.epoch, end);
}

Lsn LocalJournal::nth_last_commit(std::size_t n) const { return ledger_.history.nth_last(ledger_.state.end.epoch, n); }

std::unique_ptr<Reader> LocalJournal::reader(const std::optional<Cursor>& from) {
  const auto place = from ? tail_.find(from->position) : tail_.find(std::nullopt);
  if (!place) {
    throw CorruptionError("TR405",
                          fmt::format("the journal begins at {} and no longer holds what follows {}",
                                      start().position.str(), from->position.str()),
                          "the tables behind this cursor must be copied again");
  }
  return std::make_unique<LogReader>(store_, tail_, chunks_, from.value_or(start()), *place);
}

void LocalJournal::set_retention(const Position& oldest_needed, std::chrono::seconds keep) {
  const auto kept = std::chrono::duration_cast<std::chrono::microseconds>(keep).count();
  const std::uint64_t wanted = space_.used() + 2 * segment_bytes_;
  const auto dropped = tail_.drop(oldest_needed, PgTime(PgTime::now().micros() - kept),
                                  wanted > space_.max() ? wanted - space_.max() : 0);
  if (dropped.empty()) return;
  TAILRACE_CRASH_POINT("journal.trim.before");
  for (const SegmentInfo& segment : dropped) {
    store_.files.remove(store_.directory / segment_name(segment.record.number));
    TAILRACE_CRASH_POINT("journal.trim.segment_removed");
    // One by one: of several removals a power cut may keep any, and a gap among the segments is damage.
    store_.files.sync_directory(store_.directory);
    space_.give_back(segment.file_bytes);
    TAILRACE_CRASH_POINT("journal.trim.durable");
  }
  const std::uint64_t last = dropped.back().record.number;
  for (const std::string& name : store_.files.list(store_.directory)) {
    const auto segment = parse_adopted_name(name);
    if (segment && *segment <= last) store_.files.remove(store_.directory / name);
    TAILRACE_CRASH_POINT("journal.trim.file_removed");
  }
  for (const SegmentInfo& segment : dropped) space_.give_back(segment.adopted_bytes);
}

JournalStat LocalJournal::stat() const {
  JournalStat stat;
  for (const SegmentInfo& segment : tail_.segments()) {
    ++stat.segments;
    stat.adopted_files += segment.adopted_files;
  }
  stat.bytes = space_.used();
  stat.max_bytes = space_.max();
  stat.short_of_space = space_.used() + 2 * segment_bytes_ > space_.max();
  stat.spill_bytes = spills_.disk_bytes();
  stat.spill_memory = spills_.memory_bytes();
  stat.open_spills = spills_.count();
  stat.start = start();
  stat.durable = tail_.durable().cursor();
  stat.synced_bytes = writer_.synced_bytes();
  stat.syncs = writer_.syncs();
  return stat;
}

}  // namespace tailrace::journal
