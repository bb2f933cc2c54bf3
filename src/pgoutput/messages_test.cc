#include "pgoutput/messages.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace tailrace::pgoutput {
namespace {

std::string update_with_key() {
  std::string bytes;
  ByteWriter out(bytes);
  out.u8('U');
  out.be32(16384);
  out.u8('K');
  TupleWriter key(bytes, 2);
  key.text("1");
  key.null();
  out.u8('N');
  TupleWriter row(bytes, 2);
  row.text("2");
  row.unchanged();
  return bytes;
}

TEST(Pgoutput, ReadsAnUpdateThatChangesItsKey) {
  const std::string bytes = update_with_key();
  const RowChange change = parse_row_change(bytes);
  EXPECT_EQ(change.kind, ChangeKind::kUpdate);
  EXPECT_EQ(change.old_kind, OldTuple::kKey);
  auto old_row = change.old_row.begin();
  EXPECT_EQ(old_row.next().bytes, "1");
  auto new_row = change.new_row.begin();
  EXPECT_EQ(new_row.next().bytes, "2");
  EXPECT_EQ(new_row.next().kind, FieldKind::kUnchanged);
}

TEST(Pgoutput, RefusesEveryTruncatedOrExtendedMessage) {
  const std::string bytes = update_with_key();
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_THROW(parse_row_change(ByteView(bytes).substr(0, n)), BadDataError) << n;
  EXPECT_THROW(parse_row_change(bytes + "x"), BadDataError);
}

TEST(Pgoutput, EmptyNamespaceMeansPgCatalog) {
  std::string bytes;
  ByteWriter out(bytes);
  out.u8('R');
  out.be32(1);
  out.c_string("");
  out.c_string("t");
  out.u8('d');
  out.be16(0);
  EXPECT_EQ(parse_relation(bytes).schema, "pg_catalog");
}

TEST(Pgoutput, StreamAbortComesInTwoForms) {
  std::string bytes;
  ByteWriter out(bytes);
  out.u8('A');
  out.be32(7);
  out.be32(8);
  EXPECT_EQ(parse_stream_abort(bytes).sub_xid, Xid(8));
  out.be64(1);
  out.be64(2);
  EXPECT_EQ(parse_stream_abort(bytes).sub_xid, Xid(8));
  EXPECT_EQ(parse_stream_abort(bytes).abort_lsn, Lsn(1));
  EXPECT_EQ(parse_stream_abort(bytes).abort_time, PgTime(2));
  out.u8(0);
  EXPECT_THROW(parse_stream_abort(bytes), BadDataError);
}

TEST(Pgoutput, TruncateTakesOneOrdinalForEachRelation) {
  std::string bytes;
  ByteWriter out(bytes);
  out.u8('T');
  out.be32(3);
  out.u8(3);
  for (std::uint32_t oid : {1u, 2u, 3u}) out.be32(oid);
  EXPECT_EQ(ordinals_of(bytes), 3u);
  EXPECT_TRUE(parse_truncate(bytes).cascade);
}

TEST(Pgoutput, StripsTheSubTransactionsId) {
  std::string streamed("I");
  ByteWriter(streamed).be32(77);
  streamed += "rest";
  const SubMessage plain = take_sub_xid(streamed);
  EXPECT_EQ(plain.sub_xid, Xid(77));
  EXPECT_EQ(plain.message, "Irest");
}

}  // namespace
}  // namespace tailrace::pgoutput
