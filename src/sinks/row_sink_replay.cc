#include <set>
#include <string>

#include "base/crash_point.h"
#include "sinks/letter_replay.h"
#include "sinks/row_sink.h"

// How dead letters become changes again.
namespace tailrace::sinks {

void RowSink::replay(const LetterReplay& replay) {
  if (!writer_) throw RetryError("TR807", "the target is not open", "it is opened again");
  const Relation& relation = *replay.letters.front().letter.relation;
  const auto found = tables_.find(relation.oid.value());
  if (found == tables_.end()) refuse_unawaited(relation);
  RowTable& table = found->second;
  if (table.key.empty()) refuse_replay(relation, "nothing tells its rows apart");
  if (table.lettered.empty()) refuse_unawaited(relation);
  if (table.standing != RowStanding::kCopied) refuse_replay(relation, "the table is held");
  const LetterChanges changes(replay, table.relation, table.fence);
  const ChangeBatch& batch = changes.batch();
  open_keys(table, batch);
  const Counters before = counters_;
  unit_.keep(batch);
  for (const Change& change : batch.changes) {
    const Taken taken{change, batch.transactions[change.transaction], table};
    if (traits_.style == RowStyle::kEvents) {
      take_event(taken);
    } else {
      take_state(taken);
    }
  }
  if (const auto letters = letters_.take(); !letters.empty())
    throw LetterRefused(changes.letter_at(letters.front().position), letters.front().reason);
  counters_ = changes.counted(before);
  unflushed_ = true;
  if (replay.rehearsal) return;
  const std::span<const RowChange> rows = unit_.changes();
  try {
    writer_->write(rows, state_to_write());
    TAILRACE_CRASH_POINT("rows.letters_written");
  } catch (const RowsRefused& refused) {
    if (refused.refused().empty()) throw LetterRefused(0, refused.what());
    const RowsRefused::Row& row = refused.refused().front();
    throw LetterRefused(changes.letter_at(rows[row.at].position), row.reason);
  }
  unit_.clear();
  state_.clear();
  unflushed_ = false;
  durable_ = pending_;
}

void RowSink::open_keys(RowTable& table, const ChangeBatch& batch) {
  std::set<std::string> keys;
  for (const Change& change : batch.changes) {
    for (const TupleView row : {change.old_row, change.new_row}) {
      if (!row.present()) continue;
      if (auto key = key_tuple(row, change.old_row, table.key)) keys.insert(std::move(*key));
    }
  }
  for (const std::string& key : keys) {
    if (table.lettered.erase(key) == 0) refuse_unawaited(*table.relation);
    state_[letter_key(table, key)].reset();
  }
}

}  // namespace tailrace::sinks
