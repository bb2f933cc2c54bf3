#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"

/// PostgreSQL's text forms, read under the source's pinned settings (DateStyle ISO, IntervalStyle postgres,
/// bytea_output hex, TimeZone UTC), into binary forms. All functions are pure; false means that the form cannot hold
/// the value, or that the text is not of the type.
namespace tailrace::formats {

/// An interval as PostgreSQL and DuckDB keep it.
struct IntervalValue {
  std::int32_t months = 0;
  std::int32_t days = 0;
  std::int64_t micros = 0;
};
__extension__ using Int128 = __int128;

bool parse_bool(ByteView text, bool& out);
bool parse_int(ByteView text, std::int64_t& out);
bool parse_float(ByteView text, float& out);
bool parse_double(ByteView text, double& out);
/// The value times 10^scale; refuses NaN and infinities, and digits beyond the scale that are not zero.
bool parse_decimal(ByteView text, int width, int scale, Int128& out);
/// Sixteen bytes, most significant first, as one number.
bool parse_uuid(ByteView text, unsigned __int128& out);
/// Days since 1970-01-01; infinities are the largest number and its negative.
bool parse_date(ByteView text, std::int32_t& days);
/// Microseconds since midnight; 24:00:00 is a value.
bool parse_time(ByteView text, std::int64_t& micros);
/// Microseconds since midnight and the offset east of UTC in seconds.
bool parse_timetz(ByteView text, std::int64_t& micros, std::int32_t& offset);
/// Microseconds since 1970-01-01 00:00 (UTC where the text has an offset); infinities are the largest number and its
/// negative.
bool parse_timestamp(ByteView text, std::int64_t& micros);
bool parse_interval(ByteView text, IntervalValue& out);
/// Length of the bytes behind a `\x…` text; false when it is not one.
bool bytea_size(ByteView text, std::size_t& size);
/// Writes the decoded bytes to `out`, which has room for bytea_size() bytes.
bool decode_bytea(ByteView text, char* out);
/// Whether text without NUL checks is well-formed UTF-8.
bool valid_utf8(ByteView text);

/// Walks the elements of a one-dimensional array literal with lower bound 1.
class ArrayReader {
 public:
  explicit ArrayReader(ByteView text, char delimiter = ',') : text_(text), delimiter_(delimiter) {}
  /// False when the literal has bounds or more than one dimension, or is malformed.
  bool open();
  enum class Step { kValue, kNull, kEnd, kRefused };
  /// The next element, unescaped; `value` points into the literal or into `scratch`.
  Step next(ByteView& value, std::vector<char>& scratch);

 private:
  Step quoted_element(ByteView& value, std::vector<char>& scratch);

  ByteView text_;
  char delimiter_;
  std::size_t at_ = 0;
  bool first_ = true;
};

}  // namespace tailrace::formats
