#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/row_json.h"
#include "sinks/row_target.h"

namespace tailrace::sinks {

/// "c", "u", "d", "r" or "t".
const char* letter_of(RowOperation operation);

/// Changes of one version of a table as JSON objects: what was done, where and when, the old row as far as the source
/// sent it, and the new one. Immutable, any thread; the relation outlives it.
class EventJson {
 public:
  explicit EventJson(const Relation& relation);

  /// Appends an object. `id`: its first member, unless it is empty.
  void append(const RowChange& change, std::string_view id, std::string& out) const;
  /// Appends an object of some columns (indexes, ascending) of the row that the change is about: the new one, else the
  /// old one as far as the source sent it.
  void append_columns(const RowChange& change, const std::vector<std::size_t>& columns, std::string& out) const;

 private:
  const Relation& relation_;
  formats::RowJson rows_;
  std::vector<std::size_t> key_columns_;
};

}  // namespace tailrace::sinks
