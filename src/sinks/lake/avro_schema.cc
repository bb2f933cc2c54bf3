#include "sinks/lake/avro_schema.h"

#include <fmt/format.h>

#include <iterator>
#include <set>

#include "formats/row_json.h"

namespace tailrace::lake {
namespace {

using vectors::Shape;
using vectors::TargetType;

std::string logical(const char* type, const char* meaning) {
  return fmt::format(R"({{"type":"{}","logicalType":"{}"}})", type, meaning);
}

std::string scalar(const TargetType& type) {
  switch (type.shape) {
    case Shape::kBool: return R"("boolean")";
    case Shape::kInt16:
    case Shape::kInt32: return R"("int")";
    case Shape::kInt64:
    case Shape::kUInt32: return R"("long")";
    case Shape::kFloat: return R"("float")";
    case Shape::kDouble: return R"("double")";
    case Shape::kDecimal16:
    case Shape::kDecimal32:
    case Shape::kDecimal64:
    case Shape::kDecimal128:
      return fmt::format(R"({{"type":"bytes","logicalType":"decimal","precision":{},"scale":{}}})", type.width,
                         type.scale);
    case Shape::kBlob: return R"("bytes")";
    case Shape::kUuid: return logical("string", "uuid");
    case Shape::kDate: return logical("int", "date");
    case Shape::kTime: return logical("long", "time-micros");
    case Shape::kTimestamp: return logical("long", "local-timestamp-micros");
    case Shape::kTimestampTz: return logical("long", "timestamp-micros");
    case Shape::kVarchar:
    case Shape::kJson:
    case Shape::kTimeTz:
    case Shape::kInterval: return R"("string")";
  }
  return R"("string")";
}

std::string type_of(const TargetType& type) {
  if (!type.list) return scalar(type);
  return fmt::format(R"({{"type":"array","items":["null",{}]}})", scalar(type));
}

const char* type_of(Extra extra) {
  switch (extra) {
    case Extra::kOperation: return R"("string")";
    case Extra::kCommitLsn:
    case Extra::kOrdinal:
    case Extra::kSeq: return R"("long")";
    case Extra::kCommitTime: return R"({"type":"long","logicalType":"timestamp-micros"})";
    case Extra::kOldRow:
    case Extra::kUnchanged:
    case Extra::kDeleted: return R"("string")";
  }
  return R"("string")";
}

}  // namespace

std::string avro_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    // The bytes behind the first one of a character.
    if ((static_cast<unsigned char>(c) & 0xc0) == 0x80) continue;
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (digit && out.empty()) out += '_';
    out += letter || digit ? c : '_';
  }
  return out.empty() ? "_" : out;
}

std::string avro_schema(const TableShape& shape) {
  const Relation& relation = shape.relation();
  std::string out = fmt::format(R"({{"type":"record","name":"{}","namespace":"{}","fields":[)",
                                avro_name(relation.name), avro_name(relation.schema));
  std::set<std::string> used;
  for (const ExtraColumn& extra : shape.extras()) used.insert(extra.name);
  const auto add = [&out](const std::string& name, std::string_view type) {
    if (out.back() == '}') out += ',';
    fmt::format_to(std::back_inserter(out), R"({{"name":"{}","type":["null",{}],"default":null)", name, type);
  };
  for (std::size_t n = 0; n < relation.columns.size(); ++n) {
    const std::string& column = relation.columns[n].name;
    std::string name = avro_name(column);
    for (int more = 2; !used.insert(name).second; ++more) name = fmt::format("{}_{}", avro_name(column), more);
    add(name, type_of(shape.types()[n]));
    if (name != column) {
      out += R"(,"column":)";
      formats::append_json_string(column, out);
    }
    out += '}';
  }
  for (const ExtraColumn& extra : shape.extras()) {
    add(extra.name, type_of(extra.what));
    out += '}';
  }
  return out + "]}";
}

}  // namespace tailrace::lake
