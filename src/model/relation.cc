#include "model/relation.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/error.h"

namespace tailrace {
namespace {

/// The first format knew neither storage nor attributes nor missing values.
constexpr std::uint8_t kFirstFormat = 1;
/// The second one had no delimiter.
constexpr std::uint8_t kSecondFormat = 2;
constexpr std::uint8_t kFormat = 3;

void encode_type(ByteWriter& out, const ColumnType& type) {
  out.le32(type.declared.value());
  out.le32(static_cast<std::uint32_t>(type.typmod));
  out.le32(type.base.value());
  out.le32(static_cast<std::uint32_t>(type.base_typmod));
  out.u8(static_cast<std::uint8_t>(type.kind));
  out.le32(type.element.value());
  out.u8(static_cast<std::uint8_t>(type.element_kind));
  out.u8(static_cast<std::uint8_t>(type.delimiter));
  out.sized(type.base_schema);
  out.sized(type.base_name);
  out.sized(type.display);
}

std::string sized(ByteReader& in) { return std::string(in.bytes(in.le32())); }

TypeKind decode_kind(std::uint8_t value) {
  if (value > static_cast<std::uint8_t>(TypeKind::kPseudo)) throw OutOfBytes();
  return static_cast<TypeKind>(value);
}

ColumnType decode_type(ByteReader& in, std::uint8_t format) {
  ColumnType type;
  type.declared = Oid(in.le32());
  type.typmod = static_cast<std::int32_t>(in.le32());
  type.base = Oid(in.le32());
  type.base_typmod = static_cast<std::int32_t>(in.le32());
  type.kind = decode_kind(in.u8());
  type.element = Oid(in.le32());
  type.element_kind = decode_kind(in.u8());
  if (format > kSecondFormat) type.delimiter = static_cast<char>(in.u8());
  type.base_schema = sized(in);
  type.base_name = sized(in);
  type.display = sized(in);
  return type;
}

ReplicaIdentity decode_identity(std::uint8_t value) {
  switch (value) {
    case 'd': return ReplicaIdentity::kDefault;
    case 'n': return ReplicaIdentity::kNothing;
    case 'f': return ReplicaIdentity::kFull;
    case 'i': return ReplicaIdentity::kIndex;
    default: throw OutOfBytes();
  }
}

RelationPtr decode(ByteReader& in) {
  const std::uint8_t format = in.u8();
  if (format < kFirstFormat || format > kFormat) throw OutOfBytes();
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(in.le32());
  relation->schema = sized(in);
  relation->name = sized(in);
  relation->identity = decode_identity(in.u8());
  relation->primary_key_immediate = in.u8() != 0;
  if (format > kFirstFormat) {
    relation->attributes = static_cast<std::int16_t>(in.le16());
    relation->storage = in.le64();
  }
  const std::size_t count = in.le16();
  for (std::size_t i = 0; i < count; ++i) {
    Column column;
    column.name = sized(in);
    column.attnum = static_cast<std::int16_t>(in.le16());
    column.type = decode_type(in, format);
    column.in_identity = in.u8() != 0;
    column.primary_key_place = static_cast<std::int16_t>(in.le16());
    column.not_null = in.u8() != 0;
    if (format > kFirstFormat && in.u8() != 0) column.missing = sized(in);
    relation->columns.push_back(std::move(column));
  }
  if (!in.empty()) throw OutOfBytes();
  return relation;
}

}  // namespace

std::vector<std::size_t> Relation::match_key() const {
  std::vector<std::pair<int, std::size_t>> found;
  const bool whole = identity == ReplicaIdentity::kFull;
  if (identity == ReplicaIdentity::kNothing || (whole && !primary_key_immediate)) return {};
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Column& column = columns[i];
    if (whole ? column.primary_key_place > 0 : column.in_identity) found.emplace_back(column.primary_key_place, i);
  }
  std::ranges::sort(found);
  std::vector<std::size_t> key;
  for (const auto& [place, index] : found) key.push_back(index);
  return key;
}

std::string encode_relation(const Relation& relation) {
  std::string bytes;
  ByteWriter out(bytes);
  out.u8(kFormat);
  out.le32(relation.oid.value());
  out.sized(relation.schema);
  out.sized(relation.name);
  out.u8(static_cast<std::uint8_t>(relation.identity));
  out.u8(relation.primary_key_immediate ? 1 : 0);
  out.le16(static_cast<std::uint16_t>(relation.attributes));
  out.le64(relation.storage);
  out.le16(static_cast<std::uint16_t>(relation.columns.size()));
  for (const Column& column : relation.columns) {
    out.sized(column.name);
    out.le16(static_cast<std::uint16_t>(column.attnum));
    encode_type(out, column.type);
    out.u8(column.in_identity ? 1 : 0);
    out.le16(static_cast<std::uint16_t>(column.primary_key_place));
    out.u8(column.not_null ? 1 : 0);
    out.u8(column.missing ? 1 : 0);
    if (column.missing) out.sized(*column.missing);
  }
  return bytes;
}

RelationPtr decode_relation(std::string_view bytes) {
  try {
    ByteReader in(bytes);
    return decode(in);
  } catch (const OutOfBytes&) {
    throw BadDataError("TR501", "a table description cannot be read", "the log is newer than this program, or damaged");
  }
}

}  // namespace tailrace
