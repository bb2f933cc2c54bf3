#include "vectors/types.h"

#include <fmt/format.h>

#include <optional>

namespace tailrace::vectors {
namespace {

TargetType scalar(Shape shape) {
  TargetType type;
  type.shape = shape;
  return type;
}

/// numeric(p, s): the modifier is 4 + (p << 16 | s), s in 11 signed bits (src/backend/utils/adt/numeric.c).
std::optional<TargetType> decimal(std::int32_t typmod) {
  if (typmod < 4) return std::nullopt;
  const int precision = ((typmod - 4) >> 16) & 0xffff;
  const int scale = (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
  // A negative scale adds digits before the point; a scale above the precision needs room for the zeros.
  const int width = scale < 0 ? precision - scale : std::max(precision, scale);
  if (width < 1 || width > 38) return std::nullopt;
  TargetType type;
  type.width = static_cast<std::uint8_t>(width);
  type.scale = static_cast<std::uint8_t>(std::max(scale, 0));
  type.shape = width <= 4    ? Shape::kDecimal16
               : width <= 9  ? Shape::kDecimal32
               : width <= 18 ? Shape::kDecimal64
                             : Shape::kDecimal128;
  return type;
}

/// Built-in types by their fixed oids (src/include/catalog/pg_type.dat).
TargetType base_type(Oid oid, std::int32_t typmod) {
  switch (oid.value()) {
    case 16: return scalar(Shape::kBool);
    case 17: return scalar(Shape::kBlob);
    case 20: return scalar(Shape::kInt64);
    case 21: return scalar(Shape::kInt16);
    case 23: return scalar(Shape::kInt32);
    case 26: return scalar(Shape::kUInt32);
    case 114:
    case 3802: return scalar(Shape::kJson);
    case 700: return scalar(Shape::kFloat);
    case 701: return scalar(Shape::kDouble);
    case 1082: return scalar(Shape::kDate);
    case 1083: return scalar(Shape::kTime);
    case 1114: return scalar(Shape::kTimestamp);
    case 1184: return scalar(Shape::kTimestampTz);
    case 1186: return scalar(Shape::kInterval);
    case 1266: return scalar(Shape::kTimeTz);
    case 1700: return decimal(typmod).value_or(scalar(Shape::kVarchar));
    case 2950: return scalar(Shape::kUuid);
    default: return scalar(Shape::kVarchar);
  }
}

std::string scalar_sql(const TargetType& type) {
  switch (type.shape) {
    case Shape::kBool: return "BOOLEAN";
    case Shape::kInt16: return "SMALLINT";
    case Shape::kInt32: return "INTEGER";
    case Shape::kInt64: return "BIGINT";
    case Shape::kUInt32: return "UINTEGER";
    case Shape::kFloat: return "FLOAT";
    case Shape::kDouble: return "DOUBLE";
    case Shape::kDecimal16:
    case Shape::kDecimal32:
    case Shape::kDecimal64:
    case Shape::kDecimal128: return fmt::format("DECIMAL({},{})", type.width, type.scale);
    case Shape::kVarchar: return "VARCHAR";
    case Shape::kJson: return "JSON";
    case Shape::kBlob: return "BLOB";
    case Shape::kUuid: return "UUID";
    case Shape::kDate: return "DATE";
    case Shape::kTime: return "TIME";
    case Shape::kTimeTz: return "TIMETZ";
    case Shape::kTimestamp: return "TIMESTAMP";
    case Shape::kTimestampTz: return "TIMESTAMPTZ";
    case Shape::kInterval: return "INTERVAL";
  }
  return "VARCHAR";
}

}  // namespace

std::string TargetType::sql() const { return list ? scalar_sql(*this) + "[]" : scalar_sql(*this); }

bool TargetType::may_refuse() const {
  if (list) return true;
  switch (shape) {
    case Shape::kDecimal16:
    case Shape::kDecimal32:
    case Shape::kDecimal64:
    case Shape::kDecimal128:
    case Shape::kTimestamp:
    case Shape::kTimestampTz:
    case Shape::kInterval: return true;
    default: return false;
  }
}

TargetType target_type(const ColumnType& type) {
  TargetType out;
  if (type.kind == TypeKind::kArray) {
    if (type.element_kind == TypeKind::kBase) out = base_type(type.element, type.base_typmod);
    out.list = true;
    out.delimiter = type.delimiter;
  } else if (type.kind == TypeKind::kBase) {
    out = base_type(type.base, type.base_typmod);
  }
  return out;
}

std::string identifier(std::string_view name) {
  std::string out = "\"";
  for (char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

std::string literal(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'') out += '\'';
    out += c;
  }
  return out + '\'';
}

}  // namespace tailrace::vectors
