#include "sinks/lake/open_rows.h"

#include <utility>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"

namespace tailrace::lake {
namespace {

constexpr std::string_view kMark = "tailrace rows 1\n";
constexpr std::size_t kCheckBytes = 4;

[[noreturn]] void unreadable() {
  throw CorruptionError("TR854", "the lake keeps rows that this version cannot read",
                        "was it written by a newer version? Else give the pipeline a lake of its own, or bring back "
                        "its `_open` folder");
}

}  // namespace

void append_open_row(const sinks::RowChange& change, std::int64_t time, std::string& bytes) {
  ByteWriter out(bytes);
  out.le64(static_cast<std::uint64_t>(time));
  out.u8(static_cast<std::uint8_t>(change.operation));
  out.u8(static_cast<std::uint8_t>(change.old_kind));
  out.le32(change.position.epoch);
  out.le64(change.position.commit_end.value());
  out.le64(change.position.ordinal);
  out.le64(change.seq.value());
  out.le32(change.xid.value());
  out.le64(static_cast<std::uint64_t>(change.commit_time.micros()));
  out.sized(change.old_row.bytes());
  out.sized(change.new_row.bytes());
}

void append_open_file(const OpenFileId& file, const std::string& partition, const Relation& relation,
                      std::string_view rows, std::string& bytes) {
  ByteWriter out(bytes);
  out.sized(file.topic);
  out.le64(file.offset);
  out.sized(partition);
  out.sized(encode_relation(relation));
  out.sized(rows);
}

std::string encode_open_rows(std::string_view files) {
  std::string bytes(kMark);
  bytes += files;
  const std::uint32_t check = crc32c(bytes);
  ByteWriter(bytes).le32(check);
  return bytes;
}

void read_open_files(std::string_view bytes, const std::function<void(const KeptRows&)>& use) {
  if (!bytes.starts_with(kMark) || bytes.size() < kMark.size() + kCheckBytes) unreadable();
  const std::string_view body = bytes.substr(0, bytes.size() - kCheckBytes);
  if (ByteReader(bytes.substr(body.size())).le32() != crc32c(body)) unreadable();
  try {
    for (ByteReader in(body.substr(kMark.size())); !in.empty();) {
      KeptRows kept;
      kept.file.topic = in.bytes(in.le32());
      kept.file.offset = in.le64();
      kept.partition = in.bytes(in.le32());
      kept.relation = decode_relation(in.bytes(in.le32()));
      kept.rows = in.bytes(in.le32());
      use(kept);
    }
  } catch (const OutOfBytes&) {
    unreadable();
  } catch (const BadDataError&) {
    unreadable();
  }
}

void read_open_rows(std::string_view rows,
                    const std::function<void(const sinks::RowChange& change, std::int64_t time)>& use) {
  for (ByteReader in(rows); !in.empty();) {
    const auto time = static_cast<std::int64_t>(in.le64());
    sinks::RowChange change;
    change.operation = static_cast<sinks::RowOperation>(in.u8());
    change.old_kind = static_cast<OldTuple>(in.u8());
    change.position.epoch = in.le32();
    change.position.commit_end = Lsn(in.le64());
    change.position.ordinal = in.le64();
    change.seq = Seq(in.le64());
    change.xid = Xid(in.le32());
    change.commit_time = PgTime(static_cast<std::int64_t>(in.le64()));
    change.old_row = TupleView(in.bytes(in.le32()));
    change.new_row = TupleView(in.bytes(in.le32()));
    use(change, time);
  }
}

}  // namespace tailrace::lake
