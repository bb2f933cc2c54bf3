#include "pgoutput/messages.h"

#include "base/error.h"

namespace tailrace::pgoutput {
namespace {

[[noreturn]] void malformed(const char* what) {
  throw BadDataError("TR310", std::string("malformed pgoutput message: ") + what,
                     "the server's or a proxy's bytes are not what PostgreSQL documents; nothing was applied");
}

/// Runs `parse` over the body of a message of type `type`; everything must be consumed.
template <typename Parse>
auto parsed(ByteView message, MessageType type, const char* name, Parse parse) {
  try {
    ByteReader in(message);
    if (static_cast<MessageType>(in.u8()) != type) malformed(name);
    auto result = parse(in);
    if (!in.empty()) malformed(name);
    return result;
  } catch (const OutOfBytes&) {
    malformed(name);
  }
}

Lsn lsn(ByteReader& in) { return Lsn(in.be64()); }
Xid xid(ByteReader& in) { return Xid(in.be32()); }
Oid oid(ByteReader& in) { return Oid(in.be32()); }
PgTime time(ByteReader& in) { return PgTime(static_cast<std::int64_t>(in.be64())); }

ByteView schema_name(ByteReader& in) {
  const ByteView name = in.c_string();
  return name.empty() ? ByteView("pg_catalog") : name;
}

void reserved_flags(ByteReader& in) {
  if (in.u8() != 0) throw OutOfBytes();
}

RelationMessage relation_body(ByteReader& in) {
  RelationMessage out;
  out.oid = oid(in);
  out.schema = schema_name(in);
  out.name = in.c_string();
  out.replica_identity = static_cast<char>(in.u8());
  if (ByteView("dnfi").find(out.replica_identity) == ByteView::npos) throw OutOfBytes();
  const std::size_t count = in.be16();
  out.columns.reserve(std::min<std::size_t>(count, in.left() / 10 + 1));
  for (std::size_t i = 0; i < count; ++i) {
    RelationColumn column;
    column.in_identity = (in.u8() & 1) != 0;
    column.name = in.c_string();
    column.type = oid(in);
    column.typmod = static_cast<std::int32_t>(in.be32());
    out.columns.push_back(column);
  }
  return out;
}

RowChange update_body(ByteReader& in) {
  RowChange out;
  out.kind = ChangeKind::kUpdate;
  out.relation = oid(in);
  char part = static_cast<char>(in.u8());
  if (part == 'K' || part == 'O') {
    out.old_kind = part == 'K' ? OldTuple::kKey : OldTuple::kFull;
    out.old_row = measure_tuple(in);
    part = static_cast<char>(in.u8());
  }
  if (part != 'N') throw OutOfBytes();
  out.new_row = measure_tuple(in);
  return out;
}

RowChange row_change_body(MessageType type, ByteReader& in) {
  if (type == MessageType::kUpdate) return update_body(in);
  RowChange out;
  out.relation = oid(in);
  const char part = static_cast<char>(in.u8());
  if (type == MessageType::kInsert) {
    if (part != 'N') throw OutOfBytes();
    out.new_row = measure_tuple(in);
    return out;
  }
  if (part != 'K' && part != 'O') throw OutOfBytes();
  out.kind = ChangeKind::kDelete;
  out.old_kind = part == 'K' ? OldTuple::kKey : OldTuple::kFull;
  out.old_row = measure_tuple(in);
  return out;
}

}  // namespace

MessageType type_of(ByteView message) {
  if (message.empty()) malformed("empty");
  const char byte = message.front();
  if (ByteView("BCORYIUDTMSEcAbPKrpd").find(byte) == ByteView::npos) malformed("unknown type");
  return static_cast<MessageType>(byte);
}

Begin parse_begin(ByteView message) {
  return parsed(message, MessageType::kBegin, "Begin", [](ByteReader& in) {
    Begin out;
    out.final_lsn = lsn(in);
    out.commit_time = time(in);
    out.xid = xid(in);
    return out;
  });
}

Commit parse_commit(ByteView message) {
  return parsed(message, MessageType::kCommit, "Commit", [](ByteReader& in) {
    reserved_flags(in);
    Commit out;
    out.commit_lsn = lsn(in);
    out.end_lsn = lsn(in);
    out.commit_time = time(in);
    return out;
  });
}

Origin parse_origin(ByteView message) {
  return parsed(message, MessageType::kOrigin, "Origin", [](ByteReader& in) {
    Origin out;
    out.origin_lsn = lsn(in);
    out.name = in.c_string();
    return out;
  });
}

RelationMessage parse_relation(ByteView message) {
  return parsed(message, MessageType::kRelation, "Relation", relation_body);
}

TypeMessage parse_type(ByteView message) {
  return parsed(message, MessageType::kType, "Type", [](ByteReader& in) {
    TypeMessage out;
    out.oid = oid(in);
    out.schema = schema_name(in);
    out.name = in.c_string();
    return out;
  });
}

LogicalMessage parse_message(ByteView message) {
  return parsed(message, MessageType::kMessage, "Message", [](ByteReader& in) {
    LogicalMessage out;
    const std::uint8_t flags = in.u8();
    if (flags > 1) throw OutOfBytes();
    out.transactional = flags == 1;
    out.lsn = lsn(in);
    out.prefix = in.c_string();
    out.content = in.bytes(in.be32());
    return out;
  });
}

StreamStart parse_stream_start(ByteView message) {
  return parsed(message, MessageType::kStreamStart, "Stream Start", [](ByteReader& in) {
    StreamStart out;
    out.xid = xid(in);
    out.first_segment = in.u8() == 1;
    return out;
  });
}

StreamCommit parse_stream_commit(ByteView message) {
  return parsed(message, MessageType::kStreamCommit, "Stream Commit", [](ByteReader& in) {
    StreamCommit out;
    out.xid = xid(in);
    reserved_flags(in);
    out.commit_lsn = lsn(in);
    out.end_lsn = lsn(in);
    out.commit_time = time(in);
    return out;
  });
}

StreamAbort parse_stream_abort(ByteView message) {
  return parsed(message, MessageType::kStreamAbort, "Stream Abort", [](ByteReader& in) {
    StreamAbort out;
    out.xid = xid(in);
    out.sub_xid = xid(in);
    if (in.empty()) return out;
    out.abort_lsn = lsn(in);
    out.abort_time = time(in);
    return out;
  });
}

Prepare parse_prepare(ByteView message) {
  const MessageType type = type_of(message);
  const bool begins = type == MessageType::kBeginPrepare;
  if (!begins && type != MessageType::kPrepare && type != MessageType::kStreamPrepare) malformed("Prepare");
  return parsed(message, type, "Prepare", [begins](ByteReader& in) {
    if (!begins) reserved_flags(in);
    Prepare out;
    out.prepare_lsn = lsn(in);
    out.end_lsn = lsn(in);
    out.time = time(in);
    out.xid = xid(in);
    out.gid = in.c_string();
    return out;
  });
}

CommitPrepared parse_commit_prepared(ByteView message) {
  return parsed(message, MessageType::kCommitPrepared, "Commit Prepared", [](ByteReader& in) {
    reserved_flags(in);
    CommitPrepared out;
    out.commit_lsn = lsn(in);
    out.end_lsn = lsn(in);
    out.commit_time = time(in);
    out.xid = xid(in);
    out.gid = in.c_string();
    return out;
  });
}

RollbackPrepared parse_rollback_prepared(ByteView message) {
  return parsed(message, MessageType::kRollbackPrepared, "Rollback Prepared", [](ByteReader& in) {
    reserved_flags(in);
    RollbackPrepared out;
    out.prepare_end_lsn = lsn(in);
    out.rollback_end_lsn = lsn(in);
    out.prepare_time = time(in);
    out.rollback_time = time(in);
    out.xid = xid(in);
    out.gid = in.c_string();
    return out;
  });
}

RowChange parse_row_change(ByteView message) {
  const MessageType type = type_of(message);
  if (type != MessageType::kInsert && type != MessageType::kUpdate && type != MessageType::kDelete)
    malformed("row change");
  return parsed(message, type, "row change", [type](ByteReader& in) { return row_change_body(type, in); });
}

Truncate parse_truncate(ByteView message) {
  return parsed(message, MessageType::kTruncate, "Truncate", [](ByteReader& in) {
    Truncate out;
    const std::size_t count = in.be32();
    const std::uint8_t flags = in.u8();
    out.cascade = (flags & 1) != 0;
    out.restart_identity = (flags & 2) != 0;
    if (in.left() != count * 4) throw OutOfBytes();
    out.relations.reserve(count);
    for (std::size_t i = 0; i < count; ++i) out.relations.push_back(oid(in));
    return out;
  });
}

std::uint64_t ordinals_of(ByteView message) {
  switch (type_of(message)) {
    case MessageType::kInsert:
    case MessageType::kUpdate:
    case MessageType::kDelete:
    case MessageType::kMessage:
    case MessageType::kDescription: return 1;
    case MessageType::kTruncate: return parse_truncate(message).relations.size();
    default: return 0;
  }
}

std::string description_of(Oid relation) {
  std::string message(1, static_cast<char>(MessageType::kDescription));
  ByteWriter(message).be32(relation.value());
  return message;
}

Oid parse_description(ByteView message) {
  return parsed(message, MessageType::kDescription, "Description", [](ByteReader& in) { return Oid(in.be32()); });
}

SubMessage take_sub_xid(std::span<char> message) {
  if (message.size() < 5) malformed("too short for a sub-transaction's id");
  ByteReader in({message.data() + 1, 4});
  const Xid sub = xid(in);
  message[4] = message[0];
  return {sub, {message.data() + 4, message.size() - 4}};
}

}  // namespace tailrace::pgoutput
