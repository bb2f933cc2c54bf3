#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/crash_point.h"
#include "base/log.h"
#include "sinks/row_sink.h"

// What becomes of each change of a batch.
namespace tailrace::sinks {
namespace {

/// REQUIRES: a change of a row.
RowOperation operation_of(ChangeKind kind) {
  if (kind == ChangeKind::kInsert) return RowOperation::kInsert;
  return kind == ChangeKind::kUpdate ? RowOperation::kUpdate : RowOperation::kDelete;
}

TupleView whole_old_row(const RowChange& change) {
  return change.old_kind == OldTuple::kFull ? change.old_row : TupleView();
}

}  // namespace

void RowSink::apply(const ChangeBatch& batch) {
  if (!writer_) throw RetryError("TR807", "the target is not open", "it is opened again");
  seen_.clear();
  last_relation_ = nullptr;
  applied_ = &batch;
  unit_.keep(batch);
  for (const Change& change : batch.changes) {
    take(batch, change);
    if (unit_.size() >= traits_.unit_changes || unit_.bytes() >= traits_.unit_bytes) {
      write_rows();
    }
  }
  pending_ = batch.end;
  unflushed_ = true;
  inside_ = !batch.ends_transaction();
  applied_ = nullptr;
}

void RowSink::take(const ChangeBatch& batch, const Change& change) {
  if (change.kind == ChangeKind::kMessage) {
    ++counters_.received;
    return count(outcomes_.of(""), change.kind, Outcome::kFiltered);
  }
  SeenRelation& seen = see(change.relation);
  const Transaction& transaction = batch.transactions[change.transaction];
  const bool counts = change.kind != ChangeKind::kDescription;
  if (counts) ++counters_.received;
  if (seen.table == nullptr) {
    if (counts) count(*seen.outcomes, change.kind, Outcome::kFiltered);
    return;
  }
  const Taken taken{change, transaction, *seen.table, *seen.outcomes};
  RowTable& table = taken.table;
  const bool in_copy = counts ? table.fence.contains(transaction.xid, transaction.commit_end)
                              : transaction.commit_end <= table.fence.end;
  if (in_copy && table.standing == RowStanding::kCopied) {
    if (counts) count(*seen.outcomes, change.kind, Outcome::kApplied);
    return;
  }
  if (table.standing != RowStanding::kCopied || seen.equal_to != table.relation) {
    if (!follow(taken)) {
      if (counts) count(*seen.outcomes, change.kind, Outcome::kHeld);
      return;
    }
    if (*table.relation == *change.relation) seen.equal_to = table.relation;
  }
  if (!counts) return;
  if (change.kind == ChangeKind::kTruncate) {
    take_truncate(taken);
  } else if (traits_.style == RowStyle::kEvents) {
    take_event(taken);
  } else {
    take_state(taken);
  }
}

RowSink::SeenRelation& RowSink::see(const Relation* relation) {
  if (relation == last_relation_) return *last_seen_;
  const auto [place, is_new] = seen_.try_emplace(relation);
  if (is_new) {
    place->second.outcomes = &outcomes_.of(relation->display_name());
    place->second.table = table_of(*relation);
  }
  last_relation_ = relation;
  last_seen_ = &place->second;
  return place->second;
}

RowTable* RowSink::table_of(const Relation& relation) {
  if (spec_.wanted && !spec_.wanted(relation.schema, relation.name)) return nullptr;
  const auto known = tables_.find(relation.oid.value());
  if (known != tables_.end()) return &known->second;
  if (relation.standing != Standing::kFollowed) return nullptr;
  RowTable table;
  table.become(std::make_shared<Relation>(relation));
  RowTable& added = tables_.emplace(relation.oid.value(), std::move(table)).first->second;
  copy_anew(added, added.relation, "it is new here");
}

bool RowSink::follow(const Taken& taken) {
  RowTable& table = taken.table;
  const Relation& relation = *taken.change.relation;
  if (relation.standing != Standing::kFollowed) {
    if (table.standing != RowStanding::kGone) set_gone(table);
    return false;
  }
  if (table.standing == RowStanding::kGone)
    copy_anew(table, std::make_shared<Relation>(relation), "it was not followed for a while");
  if (table.standing == RowStanding::kRefused) {
    if (*table.relation == relation) return false;
    auto now = std::make_shared<Relation>(relation);
    const std::string obstacle = target_->obstacle(relation);
    if (obstacle.empty()) copy_anew(table, now, "the target can have it now");
    refuse_table(table, obstacle);
    table.become(std::move(now));
    note_table(table);
    return false;
  }
  if (table.relation.get() == &relation || *table.relation == relation) return true;
  const SchemaExplanation explanation = explain(*table.relation, std::make_shared<Relation>(relation), table.empty);
  if (traits_.style == RowStyle::kState) {
    if (!explanation.change) copy_anew(table, std::make_shared<Relation>(relation), explanation.doubt);
    if (const std::string obstacle = target_->obstacle(relation); !obstacle.empty()) {
      write_rows();
      refuse_table(table, obstacle);
      return false;
    }
  }
  // Rows of the earlier version first: the target is altered under them.
  write_rows();
  const RelationPtr after = explanation.after ? explanation.after : std::make_shared<Relation>(relation);
  const SchemaChange change = explanation.change.value_or(SchemaChange{});
  if (!change.nothing_visible) {
    TAILRACE_CRASH_POINT("rows.before_alter");
    if (const std::string reason = target_->alter_table(*table.relation, *after, change); !reason.empty())
      copy_anew(table, after, reason);
    if (change.key_changed && (!table.lettered.empty() || !table.lacking.empty()))
      copy_anew(table, after,
                "the columns that identify a row changed while rows of it are dead letters or incomplete");
  }
  table.become(after);
  note_table(table);
  return true;
}

void RowSink::copy_anew(RowTable& table, RelationPtr relation, std::string reason) {
  table.become(std::move(relation));
  table.standing = RowStanding::kLost;
  table.reason = std::move(reason);
  const std::string name = table.relation->display_name();
  const std::string why = table.reason;
  // What this batch was to write is written after the copy.
  write_now({{table_key(table), encode_table(table)}});
  TAILRACE_CRASH_POINT("rows.table_lost");
  throw RetryError("TR805", fmt::format("table {} is copied anew: {}", name, why), "none needed");
}

void RowSink::refuse_table(RowTable& table, std::string reason) {
  table.standing = RowStanding::kRefused;
  table.reason = std::move(reason);
  log::warn("rows.table_refused", "table {} is held: {}", table.relation->display_name(), table.reason);
  note_table(table);
}

void RowSink::set_gone(RowTable& table) {
  table.standing = RowStanding::kGone;
  note_table(table);
}

RowChange RowSink::row_change(const Taken& taken, RowOperation operation) const {
  RowChange change;
  change.operation = operation;
  change.source_kind = taken.change.kind;
  change.old_kind = taken.change.old_kind;
  change.relation = taken.table.relation.get();
  change.position = taken.position();
  change.seq = taken.transaction.change_seq(taken.change.ordinal);
  change.xid = taken.transaction.xid;
  change.commit_time = taken.transaction.commit_time;
  change.old_row = taken.change.old_row;
  change.new_row = taken.change.new_row;
  return change;
}

bool RowSink::too_long(const RowChange& change) const {
  const bool takes_old = traits_.style == RowStyle::kEvents || has_unchanged(change.new_row);
  return change.new_row.bytes().size() + (takes_old ? change.old_row.bytes().size() : 0) > spec_.longest_row;
}

const char* RowSink::refusal_of(RowTable& table, const RowChange& change) const {
  if (too_long(change)) return kRowTooLong;
  if (spec_.rules != nullptr && change.new_row.present()) {
    if (table.check_of != table.relation) {
      table.check = spec_.rules->check_for(*table.relation);
      table.check_of = table.relation;
    }
    if (table.check != nullptr)
      if (const char* reason = table.check->refusal_of(change.new_row)) return reason;
  }
  return target_->refusal_of(change);
}

bool RowSink::closed(const Taken& taken, const std::string& key) {
  if (spec_.apply_later || taken.table.lettered.empty() || !taken.table.lettered.contains(key)) return false;
  lay_down(row_change(taken, operation_of(taken.change.kind)), taken.table, {key}, kChainedLetter);
  return true;
}

void RowSink::take_truncate(const Taken& taken) {
  RowTable& table = taken.table;
  for (const auto& [key, passed] : table.lettered) state_[letter_key(table, key)].reset();
  for (const auto& [key, row] : table.lacking) state_[lacking_key(table, key)].reset();
  table.lettered.clear();
  table.lacking.clear();
  count(taken.outcomes, taken.change.kind, Outcome::kApplied);
  if (traits_.style == RowStyle::kEvents) return unit_.add(row_change(taken, RowOperation::kTruncate));
  unit_.forget_table(*table.relation);
  // What other tables have in the unit may be written after it: no key of theirs is concerned.
  target_->empty_table(*table.relation);
  TAILRACE_CRASH_POINT("rows.table_emptied");
  table.empty = true;
  note_table(table);
}

void RowSink::take_event(const Taken& taken) {
  RowTable& table = taken.table;
  RowChange change = row_change(taken, operation_of(taken.change.kind));
  if (change.old_kind == OldTuple::kFull && change.new_row.present() && has_unchanged(change.new_row) &&
      !too_long(change))
    change.new_row = TupleView(unit_.own(completed(change.new_row, {}, change.old_row).bytes));
  // A row that moves takes its chain of letters along.
  const char* reason = !spec_.apply_later && !table.lettered.empty() && is_lettered(table, keys_of(change, table.key))
                           ? kChainedLetter
                           : refusal_of(table, change);
  if (reason != nullptr) {
    lay_down(change, table, keys_of(change, table.key), reason);
    return count(taken.outcomes, change.source_kind, Outcome::kDeadLettered);
  }
  unit_.add(change);
  count(taken.outcomes, change.source_kind, Outcome::kApplied);
}

void RowSink::take_state(const Taken& taken) {
  RowTable& table = taken.table;
  const Change& change = taken.change;
  const std::vector<std::size_t>& columns = table.key;
  if (change.kind == ChangeKind::kInsert && take_new_row(taken)) return;
  const auto new_key =
      change.new_row.present() ? key_tuple(change.new_row, change.old_row, columns) : std::optional<std::string>();
  const auto old_key = change.old_row.present() ? key_tuple(change.old_row, {}, columns) : new_key;
  const bool removes = change.kind == ChangeKind::kDelete;
  if ((removes && !old_key) || (!removes && (!new_key || !old_key)))
    copy_anew(table, table.relation, "a change came without the key of its row");
  table.empty = false;
  const bool moves = change.kind == ChangeKind::kUpdate && *old_key != *new_key;
  // A row that moves takes its chain of letters along.
  if (closed(taken, *old_key) || (new_key && closed(taken, *new_key))) {
    count(taken.outcomes, change.kind, Outcome::kDeadLettered);
    if (moves && table.lettered.emplace(*new_key, Position{}).second) state_[letter_key(table, *new_key)] = "";
    return;
  }
  count(taken.outcomes, change.kind, Outcome::kApplied);
  if (removes) return remove_row(taken, *old_key);
  if (moves) {
    // Behind a letter the unit does not know the row as the source had it.
    const TupleView known = table.lettered.contains(*old_key) ? TupleView() : unit_.row_of(*table.relation, *old_key);
    const std::string before(known.bytes());
    remove_row(taken, *old_key);
    // The values that were not sent are those of the row under its former key.
    if (!before.empty() && has_unchanged(change.new_row)) {
      Change whole = change;
      const TupleView old_row = change.old_kind == OldTuple::kFull ? change.old_row : TupleView();
      whole.new_row = TupleView(unit_.own(completed(change.new_row, TupleView(before), old_row).bytes));
      return put_row({whole, taken.transaction, table, taken.outcomes}, *new_key);
    }
  }
  put_row(taken, *new_key);
}

bool RowSink::take_new_row(const Taken& taken) {
  RowTable& table = taken.table;
  if (!table.lettered.empty() || !table.lacking.empty() || !is_whole(taken.change.new_row, table.key)) return false;
  const RowChange row = row_change(taken, RowOperation::kInsert);
  if (refusal_of(table, row) != nullptr) return false;
  unit_.insert(row, table.key);
  table.empty = false;
  count(taken.outcomes, taken.change.kind, Outcome::kApplied);
  return true;
}

void RowSink::put_row(const Taken& taken, const std::string& key) {
  RowTable& table = taken.table;
  const bool moved = taken.change.old_kind == OldTuple::kKey;
  const bool behind_letter = table.lettered.contains(key);
  RowChange change = row_change(taken, operation_of(taken.change.kind));
  if (has_unchanged(change.new_row) && !too_long(change)) {
    CompletedRow row = completed(change.new_row, behind_letter ? TupleView() : unit_.row_of(*table.relation, key),
                                 whole_old_row(change));
    change.new_row = TupleView(unit_.own(std::move(row.bytes)));
    // Under another key the target has nothing to leave as it is, and behind a letter not what it has to be.
    if (!row.whole && (!traits_.takes_unchanged || moved || behind_letter || table.lacking.contains(key)))
      return note_lacking(taken, key);
  }
  if (const char* reason = refusal_of(table, change)) {
    // What came before it for this row is written: there the row stands until its letter is replayed.
    lay_down(change, table, keys_of(change, table.key), reason);
    return recount_as_letter(taken.outcomes, change.source_kind);
  }
  unit_.put(key, change);
  pass_letter(table, key, taken.position());
  drop_lacking(table, key);
}

void RowSink::remove_row(const Taken& taken, const std::string& key) {
  unit_.put(key, [&] {
    RowChange change = row_change(taken, RowOperation::kDelete);
    if (!change.old_row.present()) change.old_row = change.new_row;
    change.new_row = {};
    return change;
  }());
  pass_letter(taken.table, key, taken.position());
  drop_lacking(taken.table, key);
}

void RowSink::note_lacking(const Taken& taken, const std::string& key) {
  RowTable& table = taken.table;
  pass_letter(table, key, taken.position());
  const LackingRow row{taken.position(), taken.transaction.change_seq(taken.change.ordinal), taken.transaction.xid,
                       taken.transaction.commit_time};
  table.lacking[key] = row;
  state_[lacking_key(table, key)] = encode_lacking(row);
}

void RowSink::drop_lacking(RowTable& table, const std::string& key) {
  if (table.lacking.empty() || table.lacking.erase(key) == 0) return;
  state_[lacking_key(table, key)].reset();
}

}  // namespace tailrace::sinks
