#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/position.h"
#include "sinks/lake/open_rows.h"
#include "sinks/lake/small_objects.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

/// One object of the lake, staged or published.
struct LakeObject {
  std::string path;
  /// What Store::publish() needs.
  std::string token;
  /// "schema.table"
  std::string table;
  Position first;
  Position last;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;

  /// What it is noted with to be merged later, but for its path and rows; not in a record.
  std::string group = {};
  std::uint32_t version = 0;
  std::vector<std::string> key = {};
  std::uint64_t gathered = 0;
};

/// What the lake knows of a table, by oid.
struct LakeTable {
  /// "schema.table"
  std::string name;
  std::string folder;
  /// The number of its last change that is in the lake, or will be once the record is published.
  Seq through;
};

/// What a step says of files that are not complete (layout `connect`). A value.
struct TopicStep {
  /// The number of each topic's next row.
  std::map<std::string, std::uint64_t> next;
  std::vector<OpenFileId> open;
  /// The steps that keep rows of files that are open, ascending.
  std::vector<std::uint64_t> kept;
};

/// One step of the lake: all that is to become true at once. What is remembered is whole in every record, but for the
/// sink's state: that is whole in some, and the others say what changed since the record before.
struct CommitRecord {
  std::uint64_t number = 0;
  /// The last record whose state is whole; this one, or one before it.
  std::uint64_t base = 0;
  /// As of this step, once the ledger has put it together.
  sinks::StateMap state;
  sinks::StateChanges changes;
  std::map<std::uint32_t, LakeTable> tables;
  TopicStep topics;
  /// What may be merged.
  SmallObjects small;
  /// Folders whose objects go.
  std::vector<std::string> emptied;
  /// Objects that are seen from here on.
  std::vector<LakeObject> objects;
  /// Objects that go, once `objects` are seen: these have their rows.
  std::vector<std::string> replaced;

  /// There is something to be done for it beside writing it down.
  bool has_work() const { return !emptied.empty() || !objects.empty() || !replaced.empty(); }
};

/// Where a step keeps rows of files that are not complete.
std::string open_rows_path(std::uint64_t number);

/// What of the state: all of it where the record is its own base, else what changed.
std::string encode(const CommitRecord& record);
void apply_changes(const sinks::StateChanges& changes, sinks::StateMap& state);
/// Throws CorruptionError TR854 for what encode() did not write.
CommitRecord decode(std::string_view bytes);
/// What readers are told of it: one JSON document.
std::string manifest_of(const CommitRecord& record);

}  // namespace tailrace::lake
