#include "sinks/lake/commit_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error_code_for_test.h"

namespace tailrace::lake::test {
namespace {

using ::testing::HasSubstr;

CommitRecord record() {
  CommitRecord record;
  record.number = record.base = 7;
  record.state["cursor"] = "somewhere";
  record.tables[4711] = {"public.items", "public/items/", Seq(99)};
  record.topics.next["shop.items"] = 42;
  record.topics.open = {{"shop.items", 40}, {"shop.items", 41}};
  record.topics.kept = {5, 6};
  SmallGroup& group = record.small["public/items/"];
  group = {"public.items", 12, {"id", "b"}, {{"public/items/x", {1, Lsn(5), 0}, {1, Lsn(6), 3}, 10, 1000, 2}}};
  record.emptied = {"public/old/"};
  record.objects = {{.path = "public/items/y", .token = "t", .table = "public.items", .rows = 3, .bytes = 30}};
  record.replaced = {"public/items/\"x\""};
  return record;
}

TEST(CommitRecordTest, ARecordIsReadAsItWasWritten) {
  const CommitRecord read = decode(encode(record()));
  EXPECT_EQ(read.topics.next, record().topics.next);
  EXPECT_EQ(read.topics.open, record().topics.open);
  EXPECT_EQ(read.topics.kept, record().topics.kept);
  EXPECT_EQ(read.replaced, record().replaced);
  const SmallGroup& group = read.small.at("public/items/");
  EXPECT_EQ(group.key, (std::vector<std::string>{"id", "b"}));
  EXPECT_EQ(group.objects.at(0).last, (Position{1, Lsn(6), 3}));
  EXPECT_EQ(group.objects.at(0).level, 2U);
  EXPECT_EQ(encode(read), encode(record()));
}

TEST(CommitRecordTest, ADamagedRecordIsRefused) {
  const std::string bytes = encode(record());
  for (std::size_t n = 0; n < bytes.size(); n += 7) {
    std::string torn = bytes;
    torn[n] = static_cast<char>(torn[n] ^ 4);
    EXPECT_EQ(code_of([&] { decode(torn); }), "TR854") << n;
    EXPECT_EQ(code_of([&] { decode(bytes.substr(0, n)); }), "TR854") << n;
  }
}

TEST(CommitRecordTest, TheManifestTellsWhatCameAndWhatWent) {
  EXPECT_THAT(manifest_of(record()),
              HasSubstr(R"({"commit":7,"emptied":["public/old/"],"replaced":["public/items/\"x\""],"objects":[)"));
}

}  // namespace
}  // namespace tailrace::lake::test
