#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "model/relation.h"
#include "model/tuple.h"

namespace tailrace::formats {

/// Appends `text` as a JSON string with its quotes. REQUIRES: well-formed UTF-8, which is what the source sends.
void append_json_string(ByteView text, std::string& out);

/// Appends one value as JSON, in the form that PostgreSQL's own to_json() has for it: numbers exact to the last digit,
/// NaN and infinities as strings, `json` and `jsonb` as they are, arrays as arrays, times in ISO 8601; everything else
/// as a string of PostgreSQL's text. Composite values are such strings, too. There is never a line break in it.
/// REQUIRES: `field` holds a value (kText) of this type as the source prints it under its pinned settings.
void append_json_value(const ColumnType& type, ByteView text, std::string& out);

/// Rows of one version of a table as JSON objects, members in the order of the columns. Immutable, any thread; the
/// relation outlives it.
class RowJson {
 public:
  explicit RowJson(const Relation& relation);

  /// Appends an object of the columns that `row` has a value or NULL for. Columns that are unchanged are left out.
  void append(TupleView row, std::string& out) const;
  /// Appends an object of some columns only (indexes, ascending).
  void append(TupleView row, const std::vector<std::size_t>& columns, std::string& out) const;
  /// Appends an array of the names of the columns that are unchanged in `row`.
  void append_unchanged(TupleView row, std::string& out) const;

 private:
  void append_member(std::size_t column, const Field& field, bool& first, std::string& out) const;

  const Relation& relation_;
  /// `"name":` of each column.
  std::vector<std::string> names_;
};

}  // namespace tailrace::formats
