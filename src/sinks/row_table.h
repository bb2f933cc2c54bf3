#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/position.h"
#include "model/relation.h"
#include "model/snapshot.h"
#include "rules/row_rules.h"
#include "sinks/row_target.h"

namespace tailrace::sinks {

/// Why a change is a dead letter that could have been written.
inline constexpr const char* kChainedLetter = "an earlier change of this row is a dead letter";

/// Why a row is one that is longer than RowSinkSpec::longest_row.
inline constexpr const char* kRowTooLong = "the row is too large for this sink's memory (limits.memory)";

/// How a table of a RowSink stands. kLost: it is to be copied (again). kRefused: the target cannot have it, and its
/// changes are held. kGone: the source has it no more, or does not publish it.
enum class RowStanding : std::uint8_t { kCopying, kCopied, kLost, kRefused, kGone };

/// A row whose last change lacks a value: the change that is to be written once the value is known.
struct LackingRow {
  Position at;
  Seq seq;
  Xid xid;
  PgTime commit_time;

  bool operator==(const LackingRow&) const = default;
};

/// One table as a RowSink knows it. Owned by the sink, used by its thread.
struct RowTable {
  /// Both of one version: become() sets them.
  RelationPtr relation;
  std::vector<std::size_t> key;
  /// What its rows have to fulfil, of the version that stands beside it; null: nothing.
  std::shared_ptr<const rules::RowCheck> check;
  RelationPtr check_of;
  RowStanding standing = RowStanding::kCopying;
  Fence fence;
  std::uint64_t copied_rows = 0;
  /// The target was seen to have a place for its rows, which is ours.
  bool made = false;
  /// Why it is kLost or kRefused, for people.
  std::string reason;
  /// The last change that came was a truncate, so no row is older than the next one.
  bool empty = false;
  /// Keys with a dead letter, until a truncate: all that follows for them is a letter, too, or is applied; then the
  /// place of the last such change.
  std::unordered_map<std::string, Position> lettered;
  /// By key.
  std::unordered_map<std::string, LackingRow> lacking;

  void become(RelationPtr version);
};

/// The columns' values of `row` (`u` read from `fallback`, which may be absent) as a tuple: equal keys have equal
/// bytes. Nothing when one of them is null or was not sent.
std::optional<std::string> key_tuple(TupleView row, TupleView fallback, const std::vector<std::size_t>& columns);
/// The same, appended; false: there is none, and `out` ends with a part of it.
bool append_key(TupleView row, TupleView fallback, const std::vector<std::size_t>& columns, std::string& out);

/// The keys that a change of a row is about: that of the row as it is, and the one it had before where that is another.
/// None of a truncate, and of a table without key. `columns`: the match_key() of the change's relation.
std::vector<std::string> keys_of(const RowChange& change, const std::vector<std::size_t>& columns);
bool is_lettered(const RowTable& table, const std::vector<std::string>& keys);

}  // namespace tailrace::sinks
