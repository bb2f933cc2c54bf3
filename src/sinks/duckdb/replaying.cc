#include <fmt/format.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

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
  // Where later changes are applied, some of the rows are not there: as keys of letters they are cleared. Those that
  // are there supply what was not sent.
  for (const std::string& key : table.shape.apply_later ? keys_there(table, keys) : keys) table.lettered.erase(key);
  return keys;
}

std::set<std::string> DuckdbSink::State::keys_there(Table& table, const std::set<std::string>& keys) {
  const std::vector<std::string> numbered(keys.begin(), keys.end());
  std::vector<TargetType> types = table.shape.key_types();
  types.push_back({.shape = vectors::Shape::kInt64});
  connection_->run(fmt::format("CREATE OR REPLACE TEMP TABLE tailrace_keys({}, place BIGINT)",
                               declared('b', table.shape.key_types())));
  {
    RowAppender rows(*connection_, "temp", "tailrace_keys", types);
    std::vector<Field> fields;
    for (std::size_t n = 0; n < numbered.size(); ++n) {
      split_key(numbered[n], table.shape.key.size(), fields);
      std::size_t at = 0;
      for (const Field& field : fields) rows.put(at++, field);
      rows.set_int64(at, static_cast<std::int64_t>(n));
      rows.end_row();
    }
    rows.flush();
  }
  std::set<std::string> there;
  for (const TextRow& row : connection_->rows(
           fmt::format("SELECT k.place::VARCHAR FROM temp.tailrace_keys AS k SEMI JOIN {} AS t ON {}",
                       table.mirror_name(), equal_columns(*table.shape.relation, table.shape.key, "t", "k"))))
    there.insert(numbered.at(std::stoull(row.front().second)));
  connection_->run("DROP TABLE temp.tailrace_keys");
  return there;
}

}  // namespace tailrace::duckdb
