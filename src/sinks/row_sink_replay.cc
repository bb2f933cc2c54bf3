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
  if (table.key.empty() && traits_.style == RowStyle::kState) refuse_replay(relation, "nothing tells its rows apart");
  if (table.lettered.empty()) refuse_unawaited(relation);
  if (table.standing != RowStanding::kCopied) refuse_replay(relation, "the table is held");
  const LetterChanges changes(replay, table.relation, table.fence);
  const ChangeBatch& batch = changes.batch();
  open_keys(table, changes, replay);
  const Counters before = counters_;
  OutcomeCounts not_counted;
  unit_.keep(batch);
  for (const Change& change : batch.changes) {
    const Taken taken{change, batch.transactions[change.transaction], table, not_counted};
    if (traits_.style == RowStyle::kEvents) {
      take_event(taken);
    } else {
      take_state(taken);
    }
  }
  if (const auto letters = letters_.take(); !letters.empty())
    throw LetterRefused(changes.letter_at(letters.front().position), letters.front().reason);
  counters_ = changes.counted(before, outcomes_.of(table.relation->display_name()));
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
  settle();
}

void RowSink::open_keys(RowTable& table, const LetterChanges& changes, const LetterReplay& replay) {
  std::set<std::string> keys;
  for (const Change& change : changes.batch().changes) {
    const std::size_t at = changes.letter_of(change);
    const Position& place = replay.letters[at].letter.position;
    std::vector<std::string> of_change;
    if (table.key.empty()) of_change.push_back(place_key(place));
    for (const TupleView row : {change.old_row, change.new_row}) {
      if (table.key.empty() || !row.present()) continue;
      if (auto key = key_tuple(row, change.old_row, table.key)) of_change.push_back(std::move(*key));
    }
    for (std::string& key : of_change) {
      const auto letter = table.lettered.find(key);
      if (letter == table.lettered.end()) refuse_unawaited(*table.relation);
      if (letter->second > place) throw LetterSuperseded(at, *table.relation, letter->second);
      keys.insert(std::move(key));
    }
  }
  for (const std::string& key : keys) {
    table.lettered.erase(key);
    state_[letter_key(table, key)].reset();
  }
}

}  // namespace tailrace::sinks
