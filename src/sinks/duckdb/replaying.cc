#include <set>
#include <string>
#include <utility>

#include "base/crash_point.h"
#include "sinks/duckdb/key.h"
#include "sinks/duckdb/sink_state.h"
#include "sinks/letter_replay.h"

namespace tailrace::duckdb {

void DuckdbSink::State::replay(const sinks::LetterReplay& replay) {
  const Relation& relation = *replay.letters.front().letter.relation;
  const auto found = by_oid_.find(relation.oid);
  if (found == by_oid_.end()) sinks::refuse_unawaited(relation);
  Table& table = *found->second;
  if (!table.shape.keyed()) sinks::refuse_replay(relation, "nothing tells its rows apart");
  if (table.lettered.empty()) sinks::refuse_unawaited(relation);
  if (table.hold) sinks::refuse_replay(relation, "the table is held");
  const sinks::LetterChanges changes(replay, table.shape.relation, table.fence);
  begin();
  try {
    open_keys(table, changes.batch());
    // What the copy contains is left out already, and a row that it could not take is none of the stream's.
    const Fence fence = std::exchange(table.fence, {});
    const sinks::Counters before = counters_;
    write_batch(changes.batch(), false);
    table.fence = fence;
    counters_ = changes.counted(before);
    if (const auto letters = letters_.take(); !letters.empty())
      throw sinks::LetterRefused(changes.letter_at(letters.front().position), letters.front().reason);
    if (table.hold) sinks::refuse_replay(relation, table.hold->reason);
    if (replay.rehearsal) roll_back();
  } catch (const SuspectTable& suspect) {
    roll_back();
    sinks::refuse_replay(relation, suspect.reason);
  } catch (...) {
    roll_back();
    throw;
  }
}

void DuckdbSink::State::open_keys(Table& table, const ChangeBatch& batch) {
  Arena arena;
  std::set<std::string> keys;
  for (const Change& change : batch.changes) {
    for (const TupleView row : {change.old_row, change.new_row}) {
      ByteView key;
      if (row.present() && read_key(row, change.old_row, table.shape.key, arena, key)) keys.emplace(key);
    }
  }
  for (const std::string& key : keys) {
    if (table.lettered.erase(key) == 0) sinks::refuse_unawaited(*table.shape.relation);
    tables_on_disk_->drop_letter(table, key);
  }
}

}  // namespace tailrace::duckdb
