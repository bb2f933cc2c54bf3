#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "model/relation.h"
#include "model/tuple.h"

/// pgoutput messages for the journal's tests: tables with one text column.
namespace tailrace::journal::test {

inline RelationPtr table(std::uint32_t oid, std::size_t columns = 1) {
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(oid);
  relation->schema = "public";
  relation->name = "t" + std::to_string(oid);
  for (std::size_t i = 0; i < columns; ++i) {
    Column column;
    column.name = "c" + std::to_string(i);
    column.attnum = static_cast<std::int16_t>(i + 1);
    column.type.declared = column.type.base = Oid(25);
    column.type.base_schema = "pg_catalog";
    column.type.base_name = column.type.display = "text";
    relation->columns.push_back(column);
  }
  return relation;
}

inline std::string insert(std::uint32_t oid, ByteView value) {
  std::string message = "I";
  ByteWriter(message).be32(oid);
  message += 'N';
  TupleWriter tuple(message, 1);
  tuple.text(value);
  return message;
}

inline std::string truncate(std::initializer_list<std::uint32_t> oids) {
  std::string message = "T";
  ByteWriter out(message);
  out.be32(static_cast<std::uint32_t>(oids.size()));
  out.u8(0);
  for (const std::uint32_t oid : oids) out.be32(oid);
  return message;
}

/// An R message; the relation it stands for is table(oid, columns).
inline std::string relation_message(std::uint32_t oid, std::size_t columns = 1) {
  std::string message = "R";
  ByteWriter out(message);
  out.be32(oid);
  out.c_string("public");
  out.c_string("t" + std::to_string(oid));
  out.u8('d');
  out.be16(static_cast<std::uint16_t>(columns));
  for (std::size_t i = 0; i < columns; ++i) {
    out.u8(0);
    out.c_string("c" + std::to_string(i));
    out.be32(25);
    out.be32(0xFFFFFFFF);
  }
  return message;
}

inline std::string logical_message(bool transactional, std::uint64_t lsn, ByteView prefix, ByteView content) {
  std::string message = "M";
  ByteWriter out(message);
  out.u8(transactional ? 1 : 0);
  out.be64(lsn);
  out.c_string(prefix);
  out.be32(static_cast<std::uint32_t>(content.size()));
  out.bytes(content);
  return message;
}

}  // namespace tailrace::journal::test
