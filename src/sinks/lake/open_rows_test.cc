#include "sinks/lake/open_rows.h"

#include <gtest/gtest.h>

#include "base/error_code_for_test.h"
#include "model/batch_for_test.h"

namespace tailrace::lake::test {
namespace {

using sinks::RowChange;
using sinks::RowOperation;

TEST(OpenRowsTest, RowsComeBackAsTheyWereKept) {
  const RelationPtr relation = tailrace::test::items();
  const std::string before = tuple_bytes({"7", {}, {}});
  const std::string after = tuple_bytes({"8", "é", kUnchanged});
  RowChange change;
  change.operation = RowOperation::kUpdate;
  change.old_kind = OldTuple::kKey;
  change.position = {3, Lsn(4711), 12};
  change.seq = Seq(99);
  change.xid = Xid(5);
  change.commit_time = PgTime(123456);
  change.old_row = TupleView(before);
  change.new_row = TupleView(after);
  std::string rows;
  append_open_row(change, 1234, rows);
  append_open_row(change, 1235, rows);
  std::string files;
  append_open_file({"shop.items", 42}, "partition=0", *relation, rows, files);
  append_open_file({"shop.items", 44}, "partition=1", *relation, "", files);
  const std::string bytes = encode_open_rows(files);

  std::vector<OpenFileId> there;
  std::vector<std::int64_t> times;
  read_open_files(bytes, [&](const KeptRows& kept) {
    there.push_back(kept.file);
    EXPECT_EQ(*kept.relation, *relation);
    read_open_rows(kept.rows, [&](const RowChange& row, std::int64_t time) {
      times.push_back(time);
      EXPECT_EQ(row.operation, change.operation);
      EXPECT_EQ(row.old_kind, change.old_kind);
      EXPECT_EQ(row.position, change.position);
      EXPECT_EQ(row.seq, change.seq);
      EXPECT_EQ(row.commit_time, change.commit_time);
      EXPECT_EQ(row.old_row.bytes(), before);
      EXPECT_EQ(row.new_row.bytes(), after);
    });
  });
  EXPECT_EQ(there, (std::vector<OpenFileId>{{"shop.items", 42}, {"shop.items", 44}}));
  EXPECT_EQ(times, (std::vector<std::int64_t>{1234, 1235}));
}

TEST(OpenRowsTest, DamagedRowsAreRefused) {
  std::string files;
  append_open_file({"t", 1}, "p", *tailrace::test::items(), "", files);
  const std::string bytes = encode_open_rows(files);
  for (std::size_t n = 0; n < bytes.size(); n += 3) {
    std::string torn = bytes;
    torn[n] = static_cast<char>(torn[n] ^ 1);
    EXPECT_EQ(code_of([&] { read_open_files(torn, [](const KeptRows&) {}); }), "TR854") << n;
    EXPECT_EQ(code_of([&] { read_open_files(bytes.substr(0, n), [](const KeptRows&) {}); }), "TR854");
  }
}

}  // namespace
}  // namespace tailrace::lake::test
