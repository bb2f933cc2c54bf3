#include "sinks/lake/ducklake_columns.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

namespace tailrace::lake {
namespace {

using vectors::Shape;
using vectors::TargetType;

/// Behind the table's columns (docs/lake.md), with their types.
constexpr std::array<std::pair<const char*, const char*>, 7> kExtras = {{{"_op", "varchar"},
                                                                         {"_commit_lsn", "uint64"},
                                                                         {"_ordinal", "uint64"},
                                                                         {"_seq", "uint64"},
                                                                         {"_commit_time", "timestamptz"},
                                                                         {"_old", "json"},
                                                                         {"_unchanged", "json"}}};

}  // namespace

std::string ducklake_type(const TargetType& type) {
  switch (type.shape) {
    case Shape::kBool: return "boolean";
    case Shape::kInt16: return "int16";
    case Shape::kInt32: return "int32";
    case Shape::kInt64: return "int64";
    case Shape::kUInt32: return "uint32";
    case Shape::kFloat: return "float32";
    case Shape::kDouble: return "float64";
    case Shape::kDecimal16:
    case Shape::kDecimal32:
    case Shape::kDecimal64:
    case Shape::kDecimal128: return fmt::format("decimal({},{})", type.width, type.scale);
    case Shape::kJson: return "json";
    case Shape::kBlob: return "blob";
    case Shape::kUuid: return "uuid";
    case Shape::kDate: return "date";
    case Shape::kTime: return "time";
    case Shape::kTimestamp: return "timestamp";
    case Shape::kTimestampTz: return "timestamptz";
    // The file has these as text.
    case Shape::kTimeTz:
    case Shape::kInterval:
    case Shape::kVarchar: return "varchar";
  }
  return "varchar";
}

bool can_widen(std::string_view from, std::string_view into) {
  if (from == into) return true;
  if (from == "int16") return into == "int32" || into == "int64";
  if (from == "int32") return into == "int64";
  return from == "float32" && into == "float64";
}

std::vector<DuckLakeColumn> ducklake_columns(const TableShape& shape) {
  std::vector<DuckLakeColumn> columns;
  const std::vector<Column>& own = shape.relation().columns;
  for (std::size_t n = 0; n < own.size(); ++n) {
    const TargetType& type = shape.types()[n];
    const std::string scalar = ducklake_type(type);
    columns.push_back({own[n].name, type.list ? "list" : scalar, type.list ? scalar : "", own[n].attnum});
  }
  for (const auto& [name, type] : kExtras) columns.push_back({name, type, "", 0});
  return columns;
}

}  // namespace tailrace::lake
