#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/relation.h"

namespace tailrace::vectors {

/// How a value stands in a DuckDB vector.
enum class Shape : std::uint8_t {
  kBool,
  kInt16,
  kInt32,
  kInt64,
  kUInt32,
  kFloat,
  kDouble,
  kDecimal16,
  kDecimal32,
  kDecimal64,
  kDecimal128,
  kVarchar,
  kJson,
  kBlob,
  kUuid,
  kDate,
  kTime,
  kTimeTz,
  kTimestamp,
  kTimestampTz,
  kInterval,
};

/// The DuckDB type of one column: a scalar, or a LIST of scalars.
struct TargetType {
  bool list = false;
  /// The scalar, or the list's element.
  Shape shape = Shape::kVarchar;
  /// Decimals only.
  std::uint8_t width = 0;
  std::uint8_t scale = 0;
  /// Lists only: what stands between the elements in PostgreSQL's text.
  char delimiter = ',';

  bool operator==(const TargetType&) const = default;
  /// As DuckDB's SQL writes it.
  std::string sql() const;
  /// Whether PostgreSQL's type has values that this type cannot hold.
  bool may_refuse() const;
};

/// The DuckDB type for a PostgreSQL column: exact for what it can hold, VARCHAR with PostgreSQL's own text where there
/// is none.
TargetType target_type(const ColumnType& type);

/// A name as an SQL identifier, quoted.
std::string identifier(std::string_view name);
/// A text as an SQL literal.
std::string literal(std::string_view text);

}  // namespace tailrace::vectors
