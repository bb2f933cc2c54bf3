#include "sinks/clickhouse/types.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

namespace tailrace::clickhouse {
namespace {

constexpr int kDecimalDigits = 76;

/// The inside of "name(…)"; nothing when it is anything else.
std::optional<std::string_view> inside(std::string_view text, std::string_view name) {
  if (!text.starts_with(name) || text.size() < name.size() + 2) return std::nullopt;
  text.remove_prefix(name.size());
  if (text.front() != '(' || text.back() != ')') return std::nullopt;
  return text.substr(1, text.size() - 2);
}

std::optional<std::uint32_t> number(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  std::uint32_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Named {
  std::string_view name;
  Form form;
  std::uint32_t size;
};
constexpr std::array<Named, 16> kPlain = {{{"Bool", Form::kBool, 1},
                                           {"Int8", Form::kInt, 1},
                                           {"Int16", Form::kInt, 2},
                                           {"Int32", Form::kInt, 4},
                                           {"Int64", Form::kInt, 8},
                                           {"UInt8", Form::kUInt, 1},
                                           {"UInt16", Form::kUInt, 2},
                                           {"UInt32", Form::kUInt, 4},
                                           {"UInt64", Form::kUInt, 8},
                                           {"Float32", Form::kFloat, 4},
                                           {"Float64", Form::kDouble, 8},
                                           {"String", Form::kString, 0},
                                           {"UUID", Form::kUuid, 16},
                                           {"Date", Form::kDate, 2},
                                           {"Date32", Form::kDate32, 4},
                                           {"DateTime", Form::kDateTime, 4}}};

std::uint32_t decimal_size(int width) { return width <= 9 ? 4 : width <= 18 ? 8 : width <= 38 ? 16 : 32; }

std::optional<TargetType> parse_scalar(std::string_view text) {
  TargetType type;
  for (const Named& plain : kPlain) {
    if (text != plain.name) continue;
    type.form = plain.form;
    type.size = plain.size;
    return type;
  }
  if (const auto in = inside(text, "Decimal")) {
    const std::size_t comma = in->find(',');
    const auto width = number(in->substr(0, comma));
    const auto scale = comma == std::string_view::npos ? std::nullopt : number(in->substr(comma + 1));
    if (!width || !scale || *width > kDecimalDigits || *scale > *width) return std::nullopt;
    type.form = Form::kDecimal;
    type.width = static_cast<std::uint8_t>(*width);
    type.scale = static_cast<std::uint8_t>(*scale);
    type.size = decimal_size(type.width);
    return type;
  }
  if (const auto in = inside(text, "FixedString")) {
    const auto length = number(*in);
    if (!length) return std::nullopt;
    type.form = Form::kFixedString;
    type.size = *length;
    return type;
  }
  if (inside(text, "DateTime")) {
    type.form = Form::kDateTime;
    type.size = 4;
    return type;
  }
  if (const auto in = inside(text, "DateTime64")) {
    const auto digits = number(in->substr(0, in->find(',')));
    if (!digits || *digits > 9) return std::nullopt;
    type.form = Form::kDateTime64;
    type.size = 8;
    type.scale = static_cast<std::uint8_t>(*digits);
    return type;
  }
  return std::nullopt;
}

/// Built-in types by their fixed oids (src/include/catalog/pg_type.dat).
Origin base_origin(Oid oid) {
  switch (oid.value()) {
    case 16: return Origin::kBool;
    case 17: return Origin::kBytea;
    case 20: return Origin::kInt64;
    case 21: return Origin::kInt16;
    case 23: return Origin::kInt32;
    case 26: return Origin::kOid;
    case 700: return Origin::kFloat;
    case 701: return Origin::kDouble;
    case 1082: return Origin::kDate;
    case 1114:
    case 1184: return Origin::kTimestamp;
    case 1700: return Origin::kNumeric;
    case 2950: return Origin::kUuid;
    default: return Origin::kText;
  }
}

std::string made_scalar(Origin origin, std::int32_t typmod) {
  switch (origin) {
    case Origin::kBool: return "Bool";
    case Origin::kInt16: return "Int16";
    case Origin::kInt32: return "Int32";
    case Origin::kInt64: return "Int64";
    case Origin::kOid: return "UInt32";
    case Origin::kFloat: return "Float32";
    case Origin::kDouble: return "Float64";
    case Origin::kUuid: return "UUID";
    case Origin::kDate: return "Date32";
    case Origin::kTimestamp: return "DateTime64(6, 'UTC')";
    case Origin::kNumeric:
      if (const auto shape = decimal_shape(typmod)) return fmt::format("Decimal({}, {})", shape->width, shape->scale);
      return "String";
    case Origin::kText:
    case Origin::kBytea:
    case Origin::kArray: return "String";
  }
  return "String";
}

bool is_integer(Origin origin) {
  return origin == Origin::kInt16 || origin == Origin::kInt32 || origin == Origin::kInt64 || origin == Origin::kOid;
}

bool scalar_fits(Origin origin, const TargetType& target) {
  switch (target.form) {
    case Form::kString:
    case Form::kFixedString: return true;
    case Form::kBool: return origin == Origin::kBool;
    case Form::kUInt: return is_integer(origin) || origin == Origin::kNumeric || origin == Origin::kBool;
    case Form::kInt: return is_integer(origin) || origin == Origin::kNumeric;
    case Form::kFloat: return origin == Origin::kFloat || origin == Origin::kInt16;
    case Form::kDouble:
      return origin == Origin::kFloat || origin == Origin::kDouble || origin == Origin::kInt16 ||
             origin == Origin::kInt32;
    case Form::kDecimal: return origin == Origin::kNumeric || is_integer(origin);
    case Form::kUuid: return origin == Origin::kUuid;
    case Form::kDate:
    case Form::kDate32: return origin == Origin::kDate;
    case Form::kDateTime:
    case Form::kDateTime64: return origin == Origin::kTimestamp;
  }
  return false;
}

}  // namespace

std::optional<DecimalShape> decimal_shape(std::int32_t typmod) {
  // The modifier is 4 + (p << 16 | s), s in 11 signed bits (src/backend/utils/adt/numeric.c).
  if (typmod < 4) return std::nullopt;
  const int precision = ((typmod - 4) >> 16) & 0xffff;
  const int scale = (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
  // A negative scale adds digits before the point; a scale above the precision needs room for the zeros.
  const int width = scale < 0 ? precision - scale : std::max(precision, scale);
  if (width < 1 || width > kDecimalDigits) return std::nullopt;
  return DecimalShape{width, std::max(scale, 0)};
}

std::optional<TargetType> parse_type(std::string_view text) {
  bool array = false;
  if (const auto in = inside(text, "Array")) {
    array = true;
    text = *in;
  }
  if (const auto in = inside(text, "LowCardinality")) text = *in;
  bool nullable = false;
  if (const auto in = inside(text, "Nullable")) {
    nullable = true;
    text = *in;
  }
  std::optional<TargetType> type = parse_scalar(text);
  if (!type) return std::nullopt;
  type->array = array;
  type->nullable = nullable;
  return type;
}

std::string made_type(const ColumnType& type, bool may_be_null) {
  const auto nullable = [](const std::string& sql) { return "Nullable(" + sql + ")"; };
  if (type.kind == TypeKind::kEnum)
    return fmt::format("LowCardinality({})", may_be_null ? nullable("String") : std::string("String"));
  const Origin origin = origin_of(type);
  if (origin == Origin::kArray && !may_be_null)
    return fmt::format("Array({})", nullable(made_scalar(element_origin(type), type.base_typmod)));
  const std::string scalar = made_scalar(origin, type.base_typmod);
  return may_be_null ? nullable(scalar) : scalar;
}

Origin origin_of(const ColumnType& type) {
  if (type.kind == TypeKind::kArray) return Origin::kArray;
  return type.kind == TypeKind::kBase ? base_origin(type.base) : Origin::kText;
}

Origin element_origin(const ColumnType& type) {
  return type.element_kind == TypeKind::kBase ? base_origin(type.element) : Origin::kText;
}

bool fits(const ColumnType& source, const TargetType& target) {
  const Origin origin = origin_of(source);
  if (target.array) return origin == Origin::kArray && scalar_fits(element_origin(source), target);
  if (origin == Origin::kArray) return target.form == Form::kString;
  return scalar_fits(origin, target);
}

bool holds_all(const ColumnType& source, const TargetType& target) {
  if (target.array) return false;
  const Origin origin = origin_of(source);
  switch (target.form) {
    case Form::kString: return true;
    case Form::kBool:
    case Form::kUuid:
    case Form::kFloat:
    case Form::kDouble: return true;
    case Form::kInt:
      return (origin == Origin::kInt16 && target.size >= 2) || (origin == Origin::kInt32 && target.size >= 4) ||
             (origin == Origin::kInt64 && target.size >= 8) || (origin == Origin::kOid && target.size >= 8);
    case Form::kUInt: return origin == Origin::kBool || (origin == Origin::kOid && target.size >= 4);
    case Form::kDecimal:
    case Form::kFixedString:
    case Form::kDate:
    case Form::kDate32:
    case Form::kDateTime:
    case Form::kDateTime64: return false;
  }
  return false;
}

}  // namespace tailrace::clickhouse
