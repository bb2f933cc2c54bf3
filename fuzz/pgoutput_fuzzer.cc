#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "pgoutput/messages.h"

namespace tailrace::pgoutput {
namespace {

/// Reads every field, so that a length that points outside of the message is seen by the sanitizer.
std::size_t walk(const TupleView& tuple) {
  if (!tuple.present()) return 0;
  std::size_t sum = 0;
  auto field = tuple.begin();
  for (std::size_t n = 0; n < tuple.size(); ++n) {
    for (const char byte : field.next().bytes) sum += static_cast<unsigned char>(byte);
  }
  return sum;
}

std::size_t parse(ByteView message) {
  switch (type_of(message)) {
    case MessageType::kBegin: return parse_begin(message).xid.value();
    case MessageType::kCommit: return parse_commit(message).end_lsn.value();
    case MessageType::kOrigin: return parse_origin(message).name.size();
    case MessageType::kRelation: return parse_relation(message).columns.size();
    case MessageType::kType: return parse_type(message).name.size();
    case MessageType::kInsert:
    case MessageType::kUpdate:
    case MessageType::kDelete: {
      const RowChange change = parse_row_change(message);
      return walk(change.old_row) + walk(change.new_row);
    }
    case MessageType::kTruncate: return parse_truncate(message).relations.size();
    case MessageType::kMessage: return parse_message(message).content.size();
    case MessageType::kStreamStart: return parse_stream_start(message).xid.value();
    case MessageType::kStreamStop: return 0;
    case MessageType::kStreamCommit: return parse_stream_commit(message).end_lsn.value();
    case MessageType::kStreamAbort: return parse_stream_abort(message).sub_xid.value();
    case MessageType::kBeginPrepare:
    case MessageType::kPrepare:
    case MessageType::kStreamPrepare: return parse_prepare(message).gid.size();
    case MessageType::kCommitPrepared: return parse_commit_prepared(message).gid.size();
    case MessageType::kRollbackPrepared: return parse_rollback_prepared(message).gid.size();
    case MessageType::kDescription: return parse_description(message).value();
  }
  return 0;
}

/// Whatever the bytes are, they are read or refused as bad data; nothing else may come out.
template <typename Read>
void read_or_refused(Read&& read) {
  try {
    read();
  } catch (const BadDataError&) {
  }
}

}  // namespace
}  // namespace tailrace::pgoutput

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tailrace::pgoutput;
  const tailrace::ByteView message(reinterpret_cast<const char*>(data), size);
  read_or_refused([&] { parse(message); });
  read_or_refused([&] { ordinals_of(message); });
  read_or_refused([&] {
    std::string streamed(message);
    parse(take_sub_xid(streamed).message);
  });
  return 0;
}
