#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/position.h"

namespace tailrace::lake {

/// An object that may be merged with its neighbours. A value.
struct SmallObject {
  std::string path;
  Position first;
  Position last;
  std::uint64_t rows = 0;
  /// Of its rows before they were made a file.
  std::uint64_t bytes = 0;
  /// How many merges it has behind it.
  std::uint32_t level = 0;
};

/// Of one folder and one version of a table, in the order of their positions, with nothing else between them. A value.
struct SmallGroup {
  std::string table;
  /// Of the table.
  std::uint32_t version = 0;
  /// The columns by which rows are sorted.
  std::vector<std::string> key;
  std::vector<SmallObject> objects;

  /// Neighbours of one level, as many as are merged at once; empty: there are none.
  std::span<const SmallObject> run(std::size_t files) const;
  /// What was merged is one object from here on. `most`: the bytes from which an object is not small any more; it and
  /// what is before it is left alone. False: the objects are not here.
  bool replace(const std::vector<std::string>& paths, SmallObject merged, std::uint64_t most);
};

/// By the path that all names of the folder begin with.
using SmallObjects = std::map<std::string, SmallGroup>;

}  // namespace tailrace::lake
