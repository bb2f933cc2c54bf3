#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/position.h"
#include "model/snapshot.h"
#include "sinks/duckdb/row_appender.h"
#include "sinks/duckdb/table_shape.h"
#include "sinks/sink.h"

namespace tailrace::duckdb {

/// The columns that a history table has besides the source's own.
inline constexpr std::array<const char*, 7> kHistoryColumnNames = {
    "effective_from", "effective_to", "is_current", "from_lsn", "to_lsn", "from_seq", "to_seq"};

/// kLost: the table was in a damaged target and is to be copied anew.
enum class TableState : std::uint8_t { kCopying, kCopied, kLost };

/// The code of a table that the source does not have any more, or does not publish.
inline constexpr const char* kGone = "TR629";
/// The code of a table that the pipeline leaves out.
inline constexpr const char* kLeftOut = "TR618";
/// The code of a table that appeared behind the copy.
inline constexpr const char* kNeverCopied = "TR614";
/// The code of a table of which changes are missing from the log.
inline constexpr const char* kBehindGap = "TR631";

/// Why a table takes no more changes: something that cannot be carried, or a sign that target and source differ.
struct Hold {
  std::string code;
  std::string reason;
  /// The first change that was not taken.
  Position at;

  /// Nobody has to decide anything, and a new copy shows what nobody here knows: what became of the rows when the table
  /// changed (TR610), what the target must hold (TR612), all of it (TR614), or what is missing (TR631).
  bool mended_by_copy() const {
    return code == "TR610" || code == "TR612" || code == kNeverCopied || code == kBehindGap;
  }
  /// Of a table that the source has no more, and of one that the pipeline leaves out, nothing is wanted.
  sinks::Lack lack() const {
    if (mended_by_copy()) return sinks::Lack::kForNow;
    return code == kGone || code == kLeftOut ? sinks::Lack::kNone : sinks::Lack::kUntilDecided;
  }
};

/// A row that the target lacks, because a value of it was never sent: what its last change was.
struct IncompleteRow {
  Position at;
  /// What a version that begins with that change carries.
  Seq seq;
  PgTime since;
  /// 0: a version before format 2 noted the row and kept no id, so that no fence can be judged by it.
  Xid xid;

  bool healable() const { return xid.valid(); }
};

/// One mirrored table: what `tailrace.tables`, `lanes`, `letters` and `incomplete` say of it, and the open appenders.
/// Owned by the sink, used by its thread.
struct Table {
  explicit Table(TableShape from) : shape(std::move(from)) {}

  /// Schema and name in the target.
  std::pair<std::string, std::string> place() const {
    return stored_as.value_or(std::pair(shape.relation->schema, shape.relation->name));
  }
  /// "schema"."table", and with `__history` at its end.
  std::string mirror_name() const { return identifier(place().first) + "." + identifier(place().second); }
  std::string history_name() const {
    return identifier(shape.relation->schema) + "." + identifier(shape.relation->name + "__history");
  }
  void close_appenders() {
    mirror_rows.reset();
    history_rows.reset();
  }

  /// The relation's columns, and behind them a history's own.
  std::vector<std::string> column_names(bool of_history) const;
  std::unique_ptr<RowAppender> append_to_mirror(Connection& connection) const;
  std::unique_ptr<RowAppender> append_to_history(Connection& connection) const;

  TableShape shape;
  /// Whether the target's columns are the relation's (and then the history's own), in this order. Schema changes may
  /// leave columns behind, and new ones stand at the end.
  bool mirror_in_order = true;
  bool history_in_order = true;
  /// Where the rows are, if not under the source's names.
  std::optional<std::pair<std::string, std::string>> stored_as;
  TableState state = TableState::kCopying;
  Fence fence;
  std::uint64_t copied_rows = 0;
  std::unique_ptr<Hold> hold;
  /// Under FULL: the key that the catalog named did not tell the rows apart at some place of the log.
  bool whole_rows = false;
  /// The last change that came was a truncate, so no row is older than the next one.
  bool empty = false;
  /// Keys with a dead letter, until a truncate: all that follows for them is a letter too, or is applied; then the
  /// place of the last such change.
  std::unordered_map<std::string, Position> lettered;
  /// By key.
  std::unordered_map<std::string, IncompleteRow> incomplete;
  /// For the writer connection; made when first needed.
  std::unique_ptr<RowAppender> mirror_rows;
  std::unique_ptr<RowAppender> history_rows;
};

/// Thrown when the target does not hold the rows that must have been there, or cannot become what it must: the
/// transaction is rolled back and the table is held. Caught by the sink only.
struct SuspectTable {
  Table* table;
  Position at;
  std::string reason;
  /// Rows were told apart by a key that the catalog named, and not the stream.
  bool by_catalog_key = false;
};

}  // namespace tailrace::duckdb
