#include "model/relation.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/bytes.h"
#include "base/error.h"

namespace tailrace {
namespace {

/// The first format knew neither storage nor attributes nor missing values.
constexpr std::uint8_t kFirstFormat = 1;
/// The second one had no delimiter.
constexpr std::uint8_t kSecondFormat = 2;
/// The third one had neither forms nor partitions, and did not say how the table was published, nor as of when.
constexpr std::uint8_t kThirdFormat = 3;
constexpr std::uint8_t kFormat = 4;

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
  out.le32(static_cast<std::uint32_t>(type.forms.size()));
  for (const std::uint64_t form : type.forms) out.le64(form);
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
  if (format > kThirdFormat)
    for (std::size_t left = in.le32(); left > 0; --left) type.forms.push_back(in.le64());
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

void encode_catalog_part(ByteWriter& out, const Relation& relation) {
  out.le32(static_cast<std::uint32_t>(relation.partitions.size()));
  for (const Partition& partition : relation.partitions) {
    out.le32(partition.oid.value());
    out.le64(partition.attached);
    out.le64(partition.storage);
    out.u8(partition.born_empty ? 1 : 0);
  }
  out.le64(relation.membership);
  out.u8(static_cast<std::uint8_t>(relation.standing));
  out.le64(relation.as_of.value());
}

void decode_catalog_part(ByteReader& in, Relation& relation) {
  for (std::size_t left = in.le32(); left > 0; --left) {
    Partition partition;
    partition.oid = Oid(in.le32());
    partition.attached = in.le64();
    partition.storage = in.le64();
    partition.born_empty = in.u8() != 0;
    relation.partitions.push_back(partition);
  }
  relation.membership = in.le64();
  const std::uint8_t standing = in.u8();
  if (standing > static_cast<std::uint8_t>(Standing::kDropped)) throw OutOfBytes();
  relation.standing = static_cast<Standing>(standing);
  relation.as_of = Lsn(in.le64());
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
  if (format > kThirdFormat) decode_catalog_part(in, *relation);
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
    if (format > kThirdFormat) {
      column.written = in.le32();
      column.default_value = Oid(in.le32());
    }
    relation->columns.push_back(std::move(column));
  }
  if (!in.empty()) throw OutOfBytes();
  return relation;
}

}  // namespace

bool Relation::operator==(const Relation& other) const {
  const auto all = [](const Relation& r) {
    return std::tie(r.oid, r.schema, r.name, r.identity, r.primary_key_immediate, r.attributes, r.storage, r.partitions,
                    r.membership, r.standing, r.columns);
  };
  return all(*this) == all(other);
}

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
  encode_catalog_part(out, relation);
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
    out.le32(column.written);
    out.le32(column.default_value.value());
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
