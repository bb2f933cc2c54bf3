#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/relation.h"

namespace tailrace::clickhouse {

/// How a value stands in RowBinary.
enum class Form : std::uint8_t {
  kBool,
  kInt,
  kUInt,
  kFloat,
  kDouble,
  kDecimal,
  kString,
  kFixedString,
  kUuid,
  kDate,
  kDate32,
  kDateTime,
  kDateTime64,
};

/// A column's type at the server: a scalar, or an array of scalars. LowCardinality is seen through, since RowBinary
/// has no trace of it.
struct TargetType {
  Form form = Form::kString;
  bool array = false;
  /// Whether the value, of an array an element, may be NULL. Arrays themselves never may.
  bool nullable = false;
  /// Bytes of a number; of a FixedString.
  std::uint32_t size = 0;
  /// Decimals: digits, and those behind the point. DateTime64: the latter.
  std::uint8_t width = 0;
  std::uint8_t scale = 0;

  bool operator==(const TargetType&) const = default;
};

/// Reads a type as the server prints it; nothing for one that is not written by us.
std::optional<TargetType> parse_type(std::string_view text);

/// The type, as SQL, of a column that we make: exact, or String with PostgreSQL's own text. An array that may be NULL
/// is JSON text, since ClickHouse has no such arrays.
std::string made_type(const ColumnType& type, bool may_be_null);

/// What a column's values are at the source, as far as targets tell them apart.
enum class Origin : std::uint8_t {
  kBool,
  kInt16,
  kInt32,
  kInt64,
  kOid,
  kFloat,
  kDouble,
  kNumeric,
  kText,
  kBytea,
  kUuid,
  kDate,
  kTimestamp,
  kArray,
};
Origin origin_of(const ColumnType& type);
/// Of an array: its elements'.
Origin element_origin(const ColumnType& type);

/// Whether values of one type are meant by the other. Single values may still be refused.
bool fits(const ColumnType& source, const TargetType& target);
/// Whether the target's type holds every value of the source's, NULL aside.
bool holds_all(const ColumnType& source, const TargetType& target);

/// Digits and scale of a `numeric(p,s)`; nothing where it has none, or more digits than a Decimal.
struct DecimalShape {
  int width;
  int scale;
};
std::optional<DecimalShape> decimal_shape(std::int32_t typmod);

}  // namespace tailrace::clickhouse
