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
    const std::set<std::string> keys = open_keys(table, changes, replay);
    // What the copy contains is left out already, and a row that it could not take is none of the stream's.
    const Fence fence = std::exchange(table.fence, {});
    const sinks::Counters before = counters_;
    const std::string name = table.shape.relation->display_name();
    const sinks::OutcomeCounts outcomes_before = outcomes_.of(name);
    write_batch(changes.batch(), false);
    for (const std::string& key : keys) {
      table.lettered.erase(key);
      tables_on_disk_->drop_letter(table, key);
    }
    table.fence = fence;
    outcomes_.of(name) = outcomes_before;
    counters_ = changes.counted(before, outcomes_.of(name));
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

std::set<std::string> DuckdbSink::State::open_keys(Table& table, const sinks::LetterChanges& changes,
                                                   const sinks::LetterReplay& replay) {
  Arena arena;
  std::set<std::string> keys;
  for (const Change& change : changes.batch().changes) {
    const std::size_t at = changes.letter_of(change);
    for (const TupleView row : {change.old_row, change.new_row}) {
      ByteView key;
      if (!row.present() || !read_key(row, change.old_row, table.shape.key, arena, key)) continue;
      const auto letter = table.lettered.find(std::string(key));
      if (letter == table.lettered.end()) sinks::refuse_unawaited(*table.shape.relation);
      if (letter->second > replay.letters[at].letter.position)
        throw sinks::LetterSuperseded(at, *table.shape.relation, letter->second);
      keys.emplace(key);
    }
  }
  // Where later changes are applied, nobody knows whether the rows are there: as keys of letters they are cleared.
  if (!table.shape.apply_later)
    for (const std::string& key : keys) table.lettered.erase(key);
  return keys;
}

}  // namespace tailrace::duckdb
