#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "model/relation.h"
#include "sinks/clickhouse/types.h"

/// ClickHouse's RowBinary: numbers little-endian, strings behind their length, a byte before what may be NULL.
namespace tailrace::clickhouse {

void append_size(std::uint64_t value, std::string& out);
void append_text(ByteView text, std::string& out);
template <typename T>
void append_number(T value, std::string& out) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// How the values of one column become those of a column at the server. Immutable.
class Cell {
 public:
  /// REQUIRES: fits(source, target). `source` outlives it. `in_key`: rows are told apart by it.
  Cell(const ColumnType& source, const TargetType& target, bool in_key);

  const TargetType& target() const { return target_; }
  bool in_key() const { return in_key_; }

  /// Appends a value, with the byte for NULL where the target has one. Gives why the target cannot hold it, for a
  /// person and without the value; `out` then ends with a part of it. Null: it is there.
  const char* append(ByteView text, std::string& out) const;
  /// Appends NULL. REQUIRES: may_be_null().
  static void append_null(std::string& out) { out.push_back('\1'); }
  /// What stands where nothing is known: NULL, or zero.
  void append_nothing(std::string& out) const;
  bool may_be_null() const { return target_.nullable && !target_.array; }
  /// What append() would say, mostly without the work.
  const char* refusal_of(ByteView text) const;

 private:
  const char* append_scalar(Origin origin, ByteView text, std::string& out) const;
  const char* append_array(ByteView text, std::string& out) const;
  const char* append_string(ByteView text, std::string& out) const;
  bool surely_held(ByteView text) const;

  const ColumnType& source_;
  TargetType target_;
  Origin origin_;
  bool in_key_ = false;
  bool holds_all_ = false;
  /// Every finite value of the source has the digits of the target.
  bool digits_suffice_ = false;
};

}  // namespace tailrace::clickhouse
