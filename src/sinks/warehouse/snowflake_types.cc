#include <fmt/format.h>

#include "sinks/warehouse/snowflake_dialect.h"

// The types of PostgreSQL in Snowflake (docs/snowflake.md, "Types").
namespace tailrace::warehouse {
namespace {

using vectors::Shape;
using vectors::TargetType;

/// Snowflake's numbers have no more digits behind the point.
constexpr int kLargestScale = 37;

TargetType scalar(Shape shape) {
  TargetType type;
  type.shape = shape;
  return type;
}

TypePlan text() { return {"VARCHAR", scalar(Shape::kVarchar), Bounds::kText}; }

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_of("0123456789") != std::string_view::npos &&
         text.find_first_not_of("-.0123456789") == std::string_view::npos;
}

}  // namespace

TypePlan SnowflakeDialect::type_of(const ColumnType& type) const {
  const TargetType there = vectors::target_type(type);
  if (there.list) return text();
  switch (there.shape) {
    case Shape::kBool: return {"BOOLEAN", there};
    case Shape::kInt16: return {"NUMBER(5,0)", there};
    case Shape::kInt32: return {"NUMBER(10,0)", there};
    case Shape::kInt64: return {"NUMBER(19,0)", there};
    case Shape::kUInt32: return {"NUMBER(10,0)", scalar(Shape::kInt64)};
    case Shape::kFloat:
    case Shape::kDouble: return {"FLOAT", there};
    case Shape::kDecimal16:
    case Shape::kDecimal32:
    case Shape::kDecimal64:
    case Shape::kDecimal128:
      if (there.scale > kLargestScale) return text();
      return {fmt::format("NUMBER({},{})", there.width, there.scale), there};
    case Shape::kBlob: return {"BINARY", there, Bounds::kBytes};
    case Shape::kDate: return {"DATE", there, Bounds::kDays};
    case Shape::kTime: return {"TIME(6)", there, Bounds::kTimes};
    case Shape::kTimestamp: return {"TIMESTAMP_NTZ(6)", there, Bounds::kDays};
    case Shape::kTimestampTz: return {"TIMESTAMP_TZ(6)", there, Bounds::kDays};
    case Shape::kVarchar:
    case Shape::kJson:
    case Shape::kUuid:
    case Shape::kTimeTz:
    case Shape::kInterval: return text();
  }
  return text();
}

PlannedColumn SnowflakeDialect::meta_column(Meta meta) const {
  switch (meta) {
    case Meta::kOperation: return {"CDC_OPERATION", {"VARCHAR", scalar(Shape::kVarchar)}};
    case Meta::kTime: return {"CDC_TIMESTAMP", {"TIMESTAMP_TZ(6)", scalar(Shape::kTimestampTz)}};
    case Meta::kSource: return {"SOURCE_DB", {"VARCHAR", scalar(Shape::kVarchar)}};
  }
  return {};
}

std::optional<std::string> SnowflakeDialect::constant(const ColumnType& type, const std::string& text) const {
  const TypePlan plan = type_of(type);
  switch (plan.staged.shape) {
    case Shape::kBool: return text == "t" ? "TRUE" : "FALSE";
    case Shape::kInt16:
    case Shape::kInt32:
    case Shape::kInt64:
    case Shape::kDecimal16:
    case Shape::kDecimal32:
    case Shape::kDecimal64:
    case Shape::kDecimal128:
      if (!is_number(text)) return std::nullopt;
      return text;
    case Shape::kVarchar: return literal(text);
    default: return std::nullopt;
  }
}

}  // namespace tailrace::warehouse
