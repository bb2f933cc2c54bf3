#pragma once

#include <memory>
#include <string>

#include "base/bytes.h"
#include "model/relation.h"
#include "model/tuple.h"
#include "pgoutput/messages.h"

/// pgoutput messages and envelopes as a server would send them, for tests that need exact control.
namespace tailrace::postgres::script {

inline std::string begin(std::uint64_t commit_lsn, std::uint32_t xid, std::int64_t time = 1000) {
  std::string out = "B";
  ByteWriter writer(out);
  writer.be64(commit_lsn);
  writer.be64(static_cast<std::uint64_t>(time));
  writer.be32(xid);
  return out;
}

/// `end_lsn` is 8 above the commit's own LSN everywhere here.
inline std::string commit(std::uint64_t commit_lsn, std::int64_t time = 1000) {
  std::string out = "C";
  ByteWriter writer(out);
  writer.u8(0);
  writer.be64(commit_lsn);
  writer.be64(commit_lsn + 8);
  writer.be64(static_cast<std::uint64_t>(time));
  return out;
}

inline std::string with_sub_xid(const std::string& message, std::uint32_t sub_xid) {
  std::string out = message.substr(0, 1);
  ByteWriter(out).be32(sub_xid);
  return out + message.substr(1);
}

/// A table with one text column `v`, which is its key; `name` tells versions apart.
inline std::string relation(std::uint32_t oid, const std::string& name) {
  std::string out = "R";
  ByteWriter writer(out);
  writer.be32(oid);
  writer.c_string("public");
  writer.c_string(name);
  writer.u8('d');
  writer.be16(1);
  writer.u8(1);
  writer.c_string("v");
  writer.be32(25);
  writer.be32(0xffffffff);
  return out;
}

inline std::string insert(std::uint32_t oid, const std::string& value) {
  std::string out = "I";
  ByteWriter writer(out);
  writer.be32(oid);
  writer.u8('N');
  TupleWriter tuple(out, 1);
  tuple.text(value);
  return out;
}

inline std::string logical_message(std::uint64_t lsn, bool transactional, const std::string& content,
                                   const std::string& prefix = "test") {
  std::string out = "M";
  ByteWriter writer(out);
  writer.u8(transactional ? 1 : 0);
  writer.be64(lsn);
  writer.c_string(prefix);
  writer.be32(static_cast<std::uint32_t>(content.size()));
  writer.bytes(content);
  return out;
}

inline std::string stream_start(std::uint32_t xid, bool first) {
  std::string out = "S";
  ByteWriter writer(out);
  writer.be32(xid);
  writer.u8(first ? 1 : 0);
  return out;
}

inline std::string stream_stop() { return "E"; }

inline std::string stream_commit(std::uint32_t xid, std::uint64_t commit_lsn, std::int64_t time = 1000) {
  std::string out = "c";
  ByteWriter writer(out);
  writer.be32(xid);
  writer.u8(0);
  writer.be64(commit_lsn);
  writer.be64(commit_lsn + 8);
  writer.be64(static_cast<std::uint64_t>(time));
  return out;
}

inline std::string stream_abort(std::uint32_t xid, std::uint32_t sub_xid) {
  std::string out = "A";
  ByteWriter writer(out);
  writer.be32(xid);
  writer.be32(sub_xid);
  return out;
}

/// 'b', 'P' or 'p'. A prepare's end is 8 above its own LSN, too.
inline std::string prepare(char type, std::uint64_t prepare_lsn, std::uint32_t xid, const std::string& gid) {
  std::string out(1, type);
  ByteWriter writer(out);
  if (type != 'b') writer.u8(0);
  writer.be64(prepare_lsn);
  writer.be64(prepare_lsn + 8);
  writer.be64(500);
  writer.be32(xid);
  writer.c_string(gid);
  return out;
}

inline std::string commit_prepared(std::uint64_t commit_lsn, std::uint32_t xid, const std::string& gid) {
  std::string out = "K";
  ByteWriter writer(out);
  writer.u8(0);
  writer.be64(commit_lsn);
  writer.be64(commit_lsn + 8);
  writer.be64(1000);
  writer.be32(xid);
  writer.c_string(gid);
  return out;
}

inline std::string rollback_prepared(std::uint64_t rollback_lsn, std::uint32_t xid, const std::string& gid) {
  std::string out = "r";
  ByteWriter writer(out);
  writer.u8(0);
  writer.be64(rollback_lsn - 8);
  writer.be64(rollback_lsn + 8);
  writer.be64(500);
  writer.be64(1000);
  writer.be32(xid);
  writer.c_string(gid);
  return out;
}

/// A message of the server as it goes over the wire.
inline std::string backend(char type, const std::string& body) {
  std::string out(1, type);
  ByteWriter(out).be32(static_cast<std::uint32_t>(body.size() + 4));
  return out + body;
}

inline std::string wal_data(const std::string& message, std::uint64_t wal_end = 0) {
  std::string body = "w";
  ByteWriter writer(body);
  writer.be64(0);
  writer.be64(wal_end);
  writer.be64(0);
  return backend('d', body + message);
}

inline std::string keepalive(std::uint64_t wal_end, bool reply_wanted) {
  std::string body = "k";
  ByteWriter writer(body);
  writer.be64(wal_end);
  writer.be64(0);
  writer.u8(reply_wanted ? 1 : 0);
  return backend('d', body);
}

inline std::string error(const std::string& sqlstate, const std::string& text) {
  std::string body;
  ByteWriter writer(body);
  writer.c_string("SERROR");
  writer.c_string("C" + sqlstate);
  writer.c_string("M" + text);
  writer.u8(0);
  return backend('E', body);
}

/// What the catalog would make of relation().
inline RelationPtr resolve(ByteView message) {
  const auto parsed = pgoutput::parse_relation(message);
  auto out = std::make_shared<Relation>();
  out->oid = parsed.oid;
  out->schema = parsed.schema;
  out->name = parsed.name;
  Column column;
  column.name = "v";
  out->columns.push_back(column);
  return out;
}

}  // namespace tailrace::postgres::script
