#include "sinks/duckdb/table_batch.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace tailrace::duckdb {

using sinks::Outcome;

namespace {

/// Rows of more bytes stay where they are when they become letters; for less it is not worth to hold the whole batch.
constexpr std::size_t kShared = 256 << 10;
constexpr const char* kBehindLetter = "an earlier change of this row is a dead letter";

}  // namespace

TableBatch::TableBatch(Table& table, BatchVersions& versions, const ChangeBatch& batch, std::uint64_t longest_row)
    : table_(table), shape_(table.shape), versions_(versions), batch_(batch), longest_row_(longest_row) {
  keyed_.emplace(shape_);
  multiset_.emplace(shape_);
  for (std::size_t n = 0; n < shape_.types.size(); ++n) {
    const TargetType& type = shape_.types[n];
    if (type.may_refuse() || type.shape == Shape::kVarchar || type.shape == Shape::kJson) risky_.push_back(n);
  }
}

bool TableBatch::add(const Change& change) {
  if (change.kind == ChangeKind::kDescription) return describe(change);
  const Transaction& transaction = transaction_of(change);
  if (table_.hold) {
    count(change, Outcome::kHeld);
  } else if (table_.fence.contains(transaction.xid, transaction.commit_end)) {
    count(change, Outcome::kApplied);
  } else {
    const Relating relating = change.relation == accepted_ ? Relating::kTaken : accept_relation(change);
    if (relating == Relating::kAnew) return false;
    if (relating == Relating::kTaken &&
        !add_accepted(translation_ == nullptr ? change : translation_->translate(change, *shape_.relation)))
      return false;
  }
  ++findings_.received;
  return true;
}

/// It is no change of the source, and not counted as one.
bool TableBatch::describe(const Change& change) {
  const Transaction& transaction = transaction_of(change);
  if (table_.hold || change.relation == accepted_ || transaction.commit_end <= table_.fence.end) return true;
  return accept_relation(change) != Relating::kAnew;
}

void TableBatch::restart() {
  restarted_ = true;
  keyed_.emplace(shape_);
  multiset_.emplace(shape_);
  cleared_.clear();
  cleared_known_.clear();
  findings_ = {};
}

bool TableBatch::add_accepted(const Change& change) {
  if (change.kind == ChangeKind::kTruncate) {
    add_truncate(change);
  } else if (shape_.keyed()) {
    return add_keyed(change);
  } else if (shape_.multiset()) {
    add_multiset(change);
  } else {
    add_append_only(change);
  }
  return true;
}

TableBatch::Relating TableBatch::accept_relation(const Change& change) {
  if (change.relation == versions_.refused()) {
    hold(change, versions_.hold().code, versions_.hold().reason);
    return Relating::kHeld;
  }
  const RowKey key = versions_.key_of(change.relation);
  if (key != RowKey{shape_.key, shape_.multiset()}) {
    // Keys of letters and incomplete rows mean nothing under another key.
    if (!table_.lettered.empty() || !table_.incomplete.empty()) {
      hold(change, "TR610", kOtherKey);
      return Relating::kHeld;
    }
    if (!keyed_->empty() || !multiset_->empty()) {
      restarted_in_ = change.transaction;
      return Relating::kAnew;
    }
    shape_.key = key.columns;
    shape_.whole_rows = key.multiset;
  }
  translation_ = versions_.translation(change.relation);
  accepted_ = change.relation;
  return Relating::kTaken;
}

/// Under FULL the whole row tells which one it is, if the key does not.
void TableBatch::refuse_keyless(const Change& change) {
  if (shape_.relation->identity != ReplicaIdentity::kFull)
    return hold(change, "TR611", "a change came without the key of its row");
  keyed_->contradict(change);
}

void TableBatch::hold(const Change& change, const std::string& code, const std::string& reason) {
  table_.hold = std::make_unique<Hold>(Hold{code, reason, position_of(change)});
  findings_.newly_held = true;
  count(change, Outcome::kHeld);
}

void TableBatch::refuse(const Change& change, const std::string& reason) {
  sinks::DeadLetter letter;
  const Transaction& transaction = transaction_of(change);
  letter.position = position_of(change);
  letter.seq = transaction.change_seq(change.ordinal);
  letter.xid = transaction.xid;
  letter.committed = transaction.monotone_time;
  letter.relation = shape_.relation;
  letter.operation = name_of(change.kind);
  letter.reason = reason;
  if (change.old_row.bytes().size() + change.new_row.bytes().size() > kShared && in_batch(change)) {
    letter.old_row = change.old_row.bytes();
    letter.new_row = change.new_row.bytes();
    letter.held = batch_.buffers;
  } else {
    letter.keep(change.old_row.bytes(), change.new_row.bytes());
  }
  findings_.letters.push_back(std::move(letter));
  count(change, Outcome::kDeadLettered);
  if (!shape_.keyed()) return;
  ByteView key;
  for (const TupleView tuple : {change.old_row, change.new_row}) {
    if (!tuple.present() || !read_key(tuple, change.old_row, shape_.key, keyed_->arena(), key)) continue;
    if (table_.lettered.emplace(key, Position{}).second) findings_.new_lettered.emplace_back(key);
    std::erase_if(cleared_known_, [key](ByteView known) { return known == key; });
  }
}

void TableBatch::note_incomplete(const Change& change, ByteView key) {
  const Transaction& transaction = transaction_of(change);
  const IncompleteRow row{position_of(change), version_seq(change), transaction.monotone_time, transaction.xid};
  table_.incomplete.insert_or_assign(std::string(key), row);
  findings_.new_incomplete.emplace_back(key, row);
}

void TableBatch::drop_incomplete(ByteView key) {
  if (table_.incomplete.erase(std::string(key)) > 0) findings_.no_longer_incomplete.emplace_back(key);
}

const char* TableBatch::obstacle(TupleView tuple) {
  if (!tuple.present()) return nullptr;
  if (too_long(tuple)) return kRowTooLong;
  if (const char* reason = shape_.check == nullptr ? nullptr : shape_.check->refusal_of(tuple)) return reason;
  auto cursor = tuple.begin();
  std::size_t column = 0;
  for (const std::size_t risky : risky_) {
    for (; column < risky; ++column) cursor.next();
    const Field field = cursor.next();
    ++column;
    if (field.kind == FieldKind::kText && !fits(shape_.types[risky], field.bytes, scratch_)) return kValueNotHeld;
  }
  return nullptr;
}

bool TableBatch::lettered(ByteView key) const {
  return !table_.lettered.empty() && table_.lettered.contains(std::string(key));
}

bool TableBatch::is_cleared(ByteView key) const {
  return std::ranges::find(cleared_known_, key) != cleared_known_.end();
}

bool TableBatch::absent(ByteView key) const {
  if (is_cleared(key)) return true;
  return !table_.incomplete.empty() && table_.incomplete.contains(std::string(key));
}

bool TableBatch::pass_letters(const Change& change, std::initializer_list<ByteView> keys) {
  const auto unknown = [this](ByteView key) { return lettered(key) && !is_cleared(key); };
  if (std::ranges::any_of(keys, unknown)) {
    if (!keyed_->empty()) {
      restarted_in_ = change.transaction;
      return false;
    }
    for (const ByteView key : keys) {
      if (!unknown(key)) continue;
      cleared_.emplace_back(key, &change);
      cleared_known_.push_back(key);
    }
  }
  for (const ByteView key : keys) {
    const auto letter = table_.lettered.find(std::string(key));
    if (letter == table_.lettered.end()) continue;
    letter->second = position_of(change);
    findings_.passed.emplace_back(key, letter->second);
  }
  return true;
}

bool TableBatch::leave_key(const Change& change, ByteView old_key) {
  if (!pass_letters(change, {old_key})) return false;
  keyed_->remove(change, old_key, absent(old_key));
  return true;
}

bool TableBatch::add_keyed(const Change& change) {
  const bool quiet = table_.lettered.empty() && table_.incomplete.empty();
  if (change.kind == ChangeKind::kInsert && quiet && shape_.check == nullptr && keyed_->only_inserts() &&
      !too_long(change.new_row)) {
    keyed_->insert_unseen(change);
    count(change, Outcome::kApplied);
    return true;
  }
  see_inserts();
  if (change.kind == ChangeKind::kInsert) return add_insert(change);
  ByteView old_key;
  ByteView new_key;
  const TupleView old_row = change.old_row.present() ? change.old_row : change.new_row;
  bool readable = read_key(old_row, {}, shape_.key, keyed_->arena(), old_key);
  if (readable && change.kind == ChangeKind::kUpdate)
    readable = read_key(change.new_row, change.old_row, shape_.key, keyed_->arena(), new_key);
  if (!readable) {
    refuse_keyless(change);
    return true;
  }
  if (change.kind == ChangeKind::kDelete) new_key = old_key;
  const bool behind_letter = lettered(old_key) || lettered(new_key);
  if (behind_letter && !shape_.apply_later) {
    refuse(change, kBehindLetter);
    return true;
  }
  if (const char* reason = obstacle(change.new_row)) {
    if (shape_.apply_later && old_key != new_key && !leave_key(change, old_key)) return false;
    refuse(change, reason);
    return true;
  }
  if (behind_letter && !pass_letters(change, {old_key, new_key})) return false;
  if (change.kind == ChangeKind::kDelete) {
    keyed_->remove(change, old_key, absent(old_key));
  } else {
    keyed_->update(change, old_key, new_key, absent(old_key));
  }
  count(change, Outcome::kApplied);
  return true;
}

bool TableBatch::add_insert(const Change& change) {
  ByteView key;
  if (!read_key(change.new_row, {}, shape_.key, keyed_->arena(), key)) {
    refuse_keyless(change);
    return true;
  }
  const bool behind_letter = lettered(key);
  const char* reason = behind_letter && !shape_.apply_later ? kBehindLetter : obstacle(change.new_row);
  if (reason != nullptr) {
    refuse(change, reason);
    return true;
  }
  if (behind_letter && !pass_letters(change, {key})) return false;
  keyed_->insert(change, key);
  count(change, Outcome::kApplied);
  return true;
}

void TableBatch::see_inserts() {
  if (keyed_->unseen().empty()) return;
  for (const Change* change : keyed_->take_unseen()) {
    findings_.outcomes.remove(change->kind, Outcome::kApplied);
    if (table_.hold) {
      count(*change, Outcome::kHeld);
    } else if (!add_insert(*change)) {
      // A row of that key was inserted, and refused, just before.
      keyed_->contradict(*change);
    }
  }
}

void TableBatch::add_multiset(const Change& change) {
  const bool takes_old = change.kind != ChangeKind::kInsert;
  if (takes_old && change.old_kind != OldTuple::kFull)
    return hold(change, "TR611", "a change came without the old row, though the table's identity is FULL");
  const char* old_obstacle = takes_old ? obstacle(change.old_row) : nullptr;
  const char* new_obstacle = change.kind == ChangeKind::kDelete ? nullptr : obstacle(change.new_row);
  if (takes_old && old_obstacle == nullptr) multiset_->take_old(change);
  if (change.kind != ChangeKind::kDelete && new_obstacle == nullptr) multiset_->add_new(change);
  if (old_obstacle == nullptr && new_obstacle == nullptr) {
    count(change, Outcome::kApplied);
  } else {
    refuse(change, new_obstacle != nullptr ? new_obstacle : old_obstacle);
  }
}

void TableBatch::add_append_only(const Change& change) {
  if (change.kind != ChangeKind::kInsert)
    return hold(change, "TR611", "an update or delete came for a table whose rows nothing identifies");
  if (too_long(change.new_row)) return refuse(change, kRowTooLong);
  if (const char* reason = shape_.check == nullptr ? nullptr : shape_.check->refusal_of(change.new_row))
    return refuse(change, reason);
  keyed_->insert_unseen(change);
  count(change, Outcome::kApplied);
}

void TableBatch::add_truncate(const Change& change) {
  if (shape_.multiset()) {
    multiset_->truncate(change);
  } else {
    keyed_->truncate(change);
  }
  if (!table_.lettered.empty() || !table_.incomplete.empty()) {
    table_.lettered.clear();
    table_.incomplete.clear();
    findings_.keys_cleared = true;
  }
  findings_.new_lettered.clear();
  findings_.passed.clear();
  findings_.new_incomplete.clear();
  findings_.no_longer_incomplete.clear();
  count(change, Outcome::kApplied);
}

}  // namespace tailrace::duckdb
