#include "sinks/row_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <tuple>
#include <utility>

#include "base/bytes.h"
#include "base/crash_point.h"
#include "base/file_bytes.h"
#include "base/log.h"
#include "sinks/row_copy.h"

namespace tailrace::sinks {
namespace {

constexpr const char* kOwner = "owner";
constexpr const char* kCursor = "cursor";
/// Keys of one read: bounds the statement and how long it takes.
constexpr std::size_t kLot = 500;

/// The table's rows go nowhere, since the target cannot have them.
class NoWriter final : public CopyWriter {
 public:
  void append(const CopiedRows& rows) override { static_cast<void>(rows); }
  void finish() override {}
};

}  // namespace

RowSink::RowSink(RowSinkSpec spec, std::unique_ptr<RowTarget> target)
    : spec_(std::move(spec)),
      target_(std::move(target)),
      traits_(target_->traits()),
      isolation_(
          spec_.display,
          {.lay_down_follower = [this](const RowChange& change) { return lay_down_follower(change); },
           .lay_down = [this](const RowChange& change, const std::string& reason) { refuse_row(change, reason); }}) {}

RowSink::~RowSink() { writer_.reset(); }

SinkState RowSink::open() {
  writer_.reset();
  forget_unwritten();
  const StateMap state = target_->open();
  see_owner(state);
  writer_ = target_->writer();
  read_state(state);
  SinkState there;
  there.counters = counters_;
  const bool lost =
      std::ranges::any_of(tables_, [](const auto& at) { return at.second.standing == RowStanding::kLost; });
  (lost ? there.resume : there.cursor) = durable_;
  for (const auto& [oid, table] : tables_)
    if (table.standing != RowStanding::kLost && table.standing != RowStanding::kCopying)
      there.copied.push_back({table.relation, table.fence, table.copied_rows});
  return there;
}

void RowSink::see_owner(const StateMap& state) {
  const std::string us = spec_.pipeline + '\n' + spec_.source_id;
  const auto owner = state.find(kOwner);
  if (owner == state.end()) {
    state_[kOwner] = us;
    return;
  }
  if (owner->second == us) return;
  throw RefusedError("TR801",
                     fmt::format("{} is the target of pipeline `{}`, or of another database", spec_.display,
                                 owner->second.substr(0, owner->second.find('\n'))),
                     "give this pipeline a target of its own");
}

void RowSink::read_state(const StateMap& state) {
  tables_ = read_tables(state);
  durable_.reset();
  counters_ = {};
  if (const auto cursor = state.find(kCursor); cursor != state.end()) {
    try {
      std::tie(durable_, counters_) = decode_cursor(cursor->second);
    } catch (const OutOfBytes&) {
      throw CorruptionError("TR800", fmt::format("{} keeps a cursor that this version cannot read", spec_.display),
                            "was it written by a newer version? Else let Tailrace copy the tables again");
    }
    pending_ = *durable_;
  }
  outcomes_.open(read_outcomes(state), counters_);
}

void RowSink::count(OutcomeCounts& outcomes, ChangeKind kind, Outcome outcome) {
  ++count_of(counters_, outcome);
  outcomes.add(kind, outcome);
}

void RowSink::recount_as_letter(OutcomeCounts& outcomes, ChangeKind kind) {
  --counters_.applied;
  ++counters_.dead_lettered;
  outcomes.move(kind, Outcome::kApplied, Outcome::kDeadLettered);
}

void RowSink::forget_unwritten() {
  unit_.clear();
  state_.clear();
  seen_.clear();
  last_relation_ = nullptr;
  letters_.clear();
  unflushed_ = false;
  inside_ = false;
  applied_ = nullptr;
}

void RowSink::begin_copy(const std::vector<RelationPtr>& tables) {
  for (const RelationPtr& relation : tables) {
    const auto before = tables_.find(relation->oid.value());
    const bool lost = before != tables_.end() && before->second.standing == RowStanding::kLost;
    if (before != tables_.end()) {
      for (const auto& [key, passed] : before->second.lettered) state_[letter_key(before->second, key)].reset();
      for (const auto& [key, row] : before->second.lacking) state_[lacking_key(before->second, key)].reset();
    }
    RowTable table;
    table.become(relation);
    table.reason = target_->obstacle(*relation);
    if (!table.reason.empty()) {
      table.standing = RowStanding::kRefused;
    } else if (lost) {
      table.standing = RowStanding::kLost;  // until it is copied, also over a restart
    }
    letters_.take_copied_keys(relation->schema, relation->name);
    table.made = before != tables_.end() && before->second.made;
    if (table.standing != RowStanding::kRefused) {
      target_->make_table(*relation, table.made);
      table.made = true;
    }
    note_table(table);
    tables_[relation->oid.value()] = std::move(table);
  }
  write_now(std::exchange(state_, {}));
}

std::unique_ptr<CopyWriter> RowSink::open_copy(const RelationPtr& table) {
  const auto found = tables_.find(table->oid.value());
  if (found == tables_.end()) throw DefectError("a copy was opened for a table that was not prepared");
  if (found->second.standing == RowStanding::kRefused) return std::make_unique<NoWriter>();
  const RelationPtr& relation = found->second.relation;
  return std::make_unique<RowCopy>(RowCopyOf{spec_.display, relation, spec_.longest_row}, *target_,
                                   spec_.rules == nullptr ? nullptr : spec_.rules->check_for(*relation), letters_);
}

void RowSink::finish_copy(const CopiedTable& copied) {
  RowTable& table = must_know(copied.relation);
  if (table.standing == RowStanding::kRefused) return;
  table.standing = RowStanding::kCopied;
  table.fence = copied.fence;
  table.copied_rows = copied.rows;
  for (std::string& key : letters_.take_copied_keys(copied.relation->schema, copied.relation->name)) {
    if (key.empty()) continue;
    state_[letter_key(table, key)] = "";
    table.lettered.emplace(std::move(key), Position{});
  }
  note_table(table);
  write_now(std::exchange(state_, {}));
}

void RowSink::finish_copies(const Cursor& start) {
  for (auto& [oid, table] : tables_)
    // What was to be copied and is not there any more.
    if (table.standing == RowStanding::kLost || table.standing == RowStanding::kCopying) set_gone(table);
  state_[kCursor] = encode_cursor(start, counters_);
  write_now(std::exchange(state_, {}));
  durable_ = pending_ = start;
}

RowTable& RowSink::must_know(const RelationPtr& relation) {
  const auto found = tables_.find(relation->oid.value());
  if (found == tables_.end()) throw DefectError("a copy ends that was not begun");
  return found->second;
}

void RowSink::write_now(const StateChanges& state) {
  if (!writer_) throw RetryError("TR807", "the target is not open", "it is opened again");
  writer_->write({}, state);
}

StateChanges RowSink::state_to_write() const {
  StateChanges state = state_;
  state[kCursor] = encode_cursor(pending_, counters_);
  for (const auto& [table, before] : outcomes_.before())
    state[outcomes_key(table)] = encode_outcomes(outcomes_.all().at(table));
  return state;
}

/// No letter is to be lost that the cursor is beyond.
void RowSink::refuse_unkept_letters() {
  if (!letters_.empty()) throw DefectError("a cursor is written before the letters below it are kept");
}

void RowSink::begin_epoch(const Cursor& at) {
  const std::string missing = fmt::format("what was committed from {} to {} is missing",
                                          pending_.position.commit_end.str(), at.position.commit_end.str());
  if (traits_.style == RowStyle::kEvents)
    throw RefusedError("TR808", fmt::format("{}, and {} tells of every change", missing, spec_.display),
                       "give the sink a place of its own, where it begins with a copy; what is in this one ends here");
  if (!unit_.empty()) throw DefectError("an epoch begins before the one before is written");
  for (auto& [oid, table] : tables_) {
    if (table.standing != RowStanding::kCopied) continue;
    table.standing = RowStanding::kLost;
    table.reason = missing;
    note_table(table);
  }
  pending_ = at;
  unflushed_ = true;
}

void RowSink::write_out() {
  if (unit_.empty() || inside_) return;
  refuse_unkept_letters();
  const std::span<const RowChange> changes = unit_.changes();
  try {
    TAILRACE_CRASH_POINT("rows.before_write");
    writer_->write(changes, state_to_write());
    TAILRACE_CRASH_POINT("rows.after_write");
  } catch (const RowsRefused& refused) {
    log::info("rows.refused", "{}: {}; looking for the rows", spec_.display, refused.what());
    isolation_.take_apart(*writer_, {changes.begin(), changes.end()}, refused);
    unit_.clear();
    return;
  }
  isolation_.landed();
  unit_.clear();
  settle();
}

void RowSink::settle() {
  state_.clear();
  outcomes_.settle();
  durable_ = pending_;
  unflushed_ = false;
}

Cursor RowSink::flush() {
  write_out();
  if (unflushed_) {
    refuse_unkept_letters();
    write_now(state_to_write());
    settle();
  }
  if (!durable_) throw DefectError("a sink without a cursor was flushed");
  return *durable_;
}

void RowSink::write_rows() {
  if (unit_.empty()) return;
  const std::span<const RowChange> changes = unit_.changes();
  try {
    writer_->write(changes, {});
    TAILRACE_CRASH_POINT("rows.part_written");
    isolation_.landed();
  } catch (const RowsRefused& refused) {
    log::info("rows.refused", "{}: {}; looking for the rows", spec_.display, refused.what());
    isolation_.take_apart(*writer_, {changes.begin(), changes.end()}, refused);
  }
  unit_.clear();
  // What the rest of the batch adds may be written long after it.
  if (applied_ != nullptr) unit_.keep(*applied_);
}

bool RowSink::lay_down_follower(const RowChange& change) {
  if (spec_.apply_later) return false;
  const RowTable& table = tables_.at(change.relation->oid.value());
  if (!is_lettered(table, keys_of(change, table.key))) return false;
  refuse_row(change, kChainedLetter);
  return true;
}

void RowSink::refuse_row(const RowChange& change, const std::string& reason) {
  RowTable& table = tables_.at(change.relation->oid.value());
  const std::vector<std::string> keys = keys_of(change, table.key);
  lay_down(change, table, keys, reason);
  if (spec_.apply_later && traits_.style == RowStyle::kState) {
    // What was taken before anybody knew of the letter.
    for (const std::string& key : keys)
      if (const RowChange* later = unit_.change_of(*table.relation, key); later && later->position > change.position)
        pass_letter(table, key, later->position);
  }
  recount_as_letter(outcomes_.of(table.relation->display_name()), change.source_kind);
}

void RowSink::lay_down(const RowChange& change, RowTable& table, const std::vector<std::string>& keys,
                       const std::string& reason) {
  static constexpr std::array<const char*, 5> kNames = {"copy", "insert", "update", "delete", "truncate"};
  DeadLetter letter;
  letter.position = change.position;
  letter.seq = change.seq;
  letter.xid = change.xid;
  letter.committed = change.commit_time;
  letter.relation = table.relation;
  letter.operation = kNames.at(static_cast<std::size_t>(change.operation));
  letter.reason = reason;
  keep_rows(change, letter);
  letters_.add(std::move(letter));
  const auto mark = [&](const std::string& key) {
    if (table.lettered.emplace(key, Position{}).second) state_[letter_key(table, key)] = "";
  };
  for (const std::string& key : keys) mark(key);
  if (table.key.empty() && change.operation != RowOperation::kCopied) mark(place_key(change.position));
}

void RowSink::pass_letter(RowTable& table, const std::string& key, const Position& at) {
  const auto letter = table.lettered.find(key);
  if (letter == table.lettered.end()) return;
  letter->second = at;
  state_[letter_key(table, key)] = encode_passed(at);
}

std::string RowSink::place_key(const Position& position) { return "@" + encode_passed(position); }

void RowSink::keep_rows(const RowChange& change, DeadLetter& letter) const {
  const bool in_batch = applied_ != nullptr && std::ranges::any_of(applied_->changes, [&change](const Change& other) {
                          return other.new_row.bytes().data() == change.new_row.bytes().data() &&
                                 other.old_row.bytes().data() == change.old_row.bytes().data();
                        });
  if (!in_batch || change.old_row.bytes().size() + change.new_row.bytes().size() < long_bytes())
    return letter.keep(change.old_row.bytes(), change.new_row.bytes());
  letter.old_row = change.old_row.bytes();
  letter.new_row = change.new_row.bytes();
  letter.held = applied_->buffers;
}

std::optional<IncompleteRows> RowSink::incomplete() {
  for (const auto& [oid, table] : tables_) {
    if (table.lacking.empty() || table.standing != RowStanding::kCopied) continue;
    IncompleteRows rows{.relation = table.relation, .keys = {}};
    // Keys differ from time to time, so that those that cannot be completed yet keep nobody waiting.
    const std::size_t lots = (table.lacking.size() + kLot - 1) / kLot;
    auto row = std::next(table.lacking.begin(), static_cast<std::ptrdiff_t>(counters_.received % lots * kLot));
    for (; row != table.lacking.end() && rows.keys.size() < kLot; ++row) rows.keys.push_back(row->first);
    return rows;
  }
  return std::nullopt;
}

std::uint64_t RowSink::incomplete_rows() const {
  std::uint64_t count = 0;
  for (const auto& [oid, table] : tables_) count += table.lacking.size();
  return count;
}

std::optional<Position> RowSink::first_incomplete() const {
  std::optional<Position> first;
  for (const auto& [oid, table] : tables_) {
    if (table.standing != RowStanding::kCopied) continue;
    for (const auto& [key, row] : table.lacking) first = std::min(first.value_or(row.at), row.at);
  }
  return first;
}

std::uint64_t RowSink::complete(const FencedRows& rows) {
  const auto found = tables_.find(rows.rows.relation->oid.value());
  if (found == tables_.end() || !(*found->second.relation == *rows.rows.relation)) return 0;
  RowTable& table = found->second;
  std::uint64_t count = 0;
  ByteReader in(rows.rows.bytes());
  while (!in.empty()) {
    const TupleView tuple = measure_tuple(in);
    const auto key = key_tuple(tuple, {}, table.key);
    const auto lacking = key ? table.lacking.find(*key) : table.lacking.end();
    // The row is as its last change left it only if the read contains that change.
    if (lacking == table.lacking.end() || !rows.fence.contains(lacking->second.xid, lacking->second.at.commit_end))
      continue;
    RowChange change;
    change.operation = RowOperation::kUpdate;
    change.source_kind = ChangeKind::kUpdate;
    change.relation = table.relation.get();
    change.position = lacking->second.at;
    change.seq = lacking->second.seq;
    change.xid = lacking->second.xid;
    change.commit_time = lacking->second.commit_time;
    change.new_row = TupleView(unit_.own(std::string(tuple.bytes())));
    if (const char* reason = refusal_of(table, change)) {
      lay_down(change, table, {*key}, reason);
      recount_as_letter(outcomes_.of(table.relation->display_name()), change.source_kind);
    } else {
      unit_.put(*key, change);
      ++count;
    }
    drop_lacking(table, *key);
    unflushed_ = true;
  }
  return count;
}

bool RowSink::rewind(const Cursor& to) {
  write_now({{kCursor, encode_cursor(to, counters_)}});
  return true;
}

bool RowSink::copy_anew(const TableName& name) {
  for (auto& [oid, table] : tables_) {
    if (TableName(table.relation->schema, table.relation->name) != name || table.standing != RowStanding::kCopied)
      continue;
    table.standing = RowStanding::kLost;
    table.reason = "it was asked for";
    write_now({{table_key(table), encode_table(table)}});
    return true;
  }
  return false;
}

void RowSink::maintain() {
  if (writer_ && unit_.empty() && !inside_) writer_->maintain();
}

void RowSink::release() {
  writer_.reset();
  target_->release();
}

SetAside RowSink::set_aside() { throw DefectError("a target that cannot be damaged was to be set aside"); }

std::vector<SinkProblem> RowSink::problems() const {
  std::vector<SinkProblem> problems;
  for (const auto& [oid, table] : tables_) {
    const std::string name = table.relation->display_name();
    if (table.standing == RowStanding::kRefused)
      problems.push_back({"TR802", name, fmt::format("table {} is held: {}", name, table.reason),
                          "leave it out of this pipeline's tables, or give it what it lacks", Lack::kUntilDecided});
    if (table.standing == RowStanding::kGone)
      problems.push_back({"TR629", name, fmt::format("table {} is not followed: the source has it no more", name),
                          "none: it is copied again if it comes back"});
    if (!table.lettered.empty())
      problems.push_back(
          {"TR803", name, fmt::format("{} rows of {} are dead letters", table.lettered.size(), name),
           "look at `tailrace dlq list`: replay them with other values, or change what the target refuses"});
    if (!table.lacking.empty())
      problems.push_back({"TR804", name,
                          fmt::format("{} rows of {} lack a value that was never sent", table.lacking.size(), name),
                          "none: they are read from the source"});
  }
  return problems;
}

}  // namespace tailrace::sinks
