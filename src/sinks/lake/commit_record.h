#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/position.h"
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
};

/// What the lake knows of a table, by oid.
struct LakeTable {
  /// "schema.table"
  std::string name;
  std::string folder;
  /// The number of its last change that is in the lake, or will be once the record is published.
  Seq through;
};

/// One step of the lake: all that is to become true at once. What is remembered is whole in every record.
struct CommitRecord {
  std::uint64_t number = 0;
  sinks::StateMap state;
  std::map<std::uint32_t, LakeTable> tables;
  /// Folders whose objects go.
  std::vector<std::string> emptied;
  /// Objects that are seen from here on.
  std::vector<LakeObject> objects;

  /// There is something to be done for it beside writing it down.
  bool has_work() const { return !emptied.empty() || !objects.empty(); }
};

std::string encode(const CommitRecord& record);
/// Throws CorruptionError TR854 for what encode() did not write.
CommitRecord decode(std::string_view bytes);
/// What readers are told of it: one JSON document.
std::string manifest_of(const CommitRecord& record);

}  // namespace tailrace::lake
