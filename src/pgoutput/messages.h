#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/lsn.h"
#include "base/time.h"
#include "model/change_batch.h"
#include "model/tuple.h"

/// The messages of PostgreSQL's pgoutput plugin (documentation, "Logical Replication Message Formats"). Parsers of
/// foreign bytes: they check everything, throw BadDataError (TR310) and never read past the end.
/// All functions are pure; results are views into the message.
namespace tailrace::pgoutput {

/// The first byte of a message.
enum class MessageType : char {
  kBegin = 'B',
  kCommit = 'C',
  kOrigin = 'O',
  kRelation = 'R',
  kType = 'Y',
  kInsert = 'I',
  kUpdate = 'U',
  kDelete = 'D',
  kTruncate = 'T',
  kMessage = 'M',
  kStreamStart = 'S',
  kStreamStop = 'E',
  kStreamCommit = 'c',
  kStreamAbort = 'A',
  kBeginPrepare = 'b',
  kPrepare = 'P',
  kCommitPrepared = 'K',
  kRollbackPrepared = 'r',
  kStreamPrepare = 'p',
  /// The log's own, never sent by a server: the relation it names is described anew.
  kDescription = 'd',
};

// Each parser gives its message's fields; what they mean the documentation tells.

struct Begin {
  /// The commit record's LSN (not the end LSN).
  Lsn final_lsn;
  PgTime commit_time;
  Xid xid;
};
struct Commit {
  Lsn commit_lsn;
  Lsn end_lsn;
  PgTime commit_time;
};
struct Origin {
  Lsn origin_lsn;
  ByteView name;
};
struct RelationColumn {
  bool in_identity = false;
  ByteView name;
  Oid type;
  std::int32_t typmod = -1;
};
struct RelationMessage {
  Oid oid;
  /// "pg_catalog" is sent as an empty string; it is given as "pg_catalog" here.
  ByteView schema;
  ByteView name;
  char replica_identity = 'd';
  std::vector<RelationColumn> columns;
};
struct TypeMessage {
  Oid oid;
  ByteView schema;
  ByteView name;
};
struct LogicalMessage {
  bool transactional = false;
  Lsn lsn;
  ByteView prefix;
  ByteView content;
};
struct StreamStart {
  Xid xid;
  bool first_segment = false;
};
struct StreamCommit {
  Xid xid;
  Lsn commit_lsn;
  Lsn end_lsn;
  PgTime commit_time;
};
struct StreamAbort {
  Xid xid;
  Xid sub_xid;
  /// Only with streaming=parallel; else 0.
  Lsn abort_lsn;
  PgTime abort_time;
};
/// b, P and p (p has the shape of P).
struct Prepare {
  Lsn prepare_lsn;
  Lsn end_lsn;
  PgTime time;
  Xid xid;
  ByteView gid;
};
struct CommitPrepared {
  Lsn commit_lsn;
  Lsn end_lsn;
  PgTime commit_time;
  Xid xid;
  ByteView gid;
};
struct RollbackPrepared {
  Lsn prepare_end_lsn;
  Lsn rollback_end_lsn;
  PgTime prepare_time;
  PgTime rollback_time;
  Xid xid;
  ByteView gid;
};
/// I, U and D.
struct RowChange {
  ChangeKind kind = ChangeKind::kInsert;
  Oid relation;
  OldTuple old_kind = OldTuple::kNone;
  TupleView old_row;
  TupleView new_row;
};
struct Truncate {
  bool cascade = false;
  bool restart_identity = false;
  std::vector<Oid> relations;
};

/// `message` is a whole message with its type byte and without any sub-xid (see take_sub_xid).
MessageType type_of(ByteView message);
Begin parse_begin(ByteView message);
Commit parse_commit(ByteView message);
Origin parse_origin(ByteView message);
RelationMessage parse_relation(ByteView message);
TypeMessage parse_type(ByteView message);
LogicalMessage parse_message(ByteView message);
StreamStart parse_stream_start(ByteView message);
StreamCommit parse_stream_commit(ByteView message);
/// Takes both forms: with the two trailing fields of streaming=parallel and without.
StreamAbort parse_stream_abort(ByteView message);
Prepare parse_prepare(ByteView message);
CommitPrepared parse_commit_prepared(ByteView message);
RollbackPrepared parse_rollback_prepared(ByteView message);
RowChange parse_row_change(ByteView message);
Truncate parse_truncate(ByteView message);

/// A message of the log's own, and what it names.
std::string description_of(Oid relation);
Oid parse_description(ByteView message);

/// How many ordinals the change message takes: 1 for I, U, D, M, d, the number of relations for T.
std::uint64_t ordinals_of(ByteView message);

/// What take_sub_xid() makes of a message.
struct SubMessage {
  Xid sub_xid;
  /// As outside of a stream, without the xid.
  ByteView message;
};
/// Between stream start and stop every R, Y, I, U, D, T, M carries a 32-bit xid of its (sub-)transaction after the type
/// byte. Takes it out in place, so that a long message is not copied: the xid's last byte is overwritten.
SubMessage take_sub_xid(std::span<char> message);

}  // namespace tailrace::pgoutput
