#include "model/snapshot.h"

#include <gtest/gtest.h>

namespace tailrace {
namespace {

TEST(SnapshotXids, ContainsWhatCommittedBeforeItAndNothingElse) {
  const auto snapshot = SnapshotXids::parse("10:20:12,15").value();
  EXPECT_TRUE(snapshot.contains(Xid(9)));
  EXPECT_TRUE(snapshot.contains(Xid(10)));
  EXPECT_FALSE(snapshot.contains(Xid(12)));
  EXPECT_TRUE(snapshot.contains(Xid(13)));
  EXPECT_FALSE(snapshot.contains(Xid(15)));
  EXPECT_FALSE(snapshot.contains(Xid(20)));
}

TEST(SnapshotXids, SeesThroughTheWrapOfThirtyTwoBits) {
  const auto snapshot = SnapshotXids::parse("4294967290:4294967300:4294967297").value();
  EXPECT_TRUE(snapshot.contains(Xid(4294967280u)));
  EXPECT_TRUE(snapshot.contains(Xid(0)));
  EXPECT_FALSE(snapshot.contains(Xid(1)));
  EXPECT_TRUE(snapshot.contains(Xid(2)));
  EXPECT_FALSE(snapshot.contains(Xid(4)));
}

TEST(SnapshotXids, ReadsBackItsOwnText) {
  for (const char* text : {"5:5:", "5:9:6,7"}) EXPECT_EQ(SnapshotXids::parse(text)->str(), text);
  for (const char* text : {"", "5", "5:6", "a:b:", "5:6:x", "5:6:7,,8"})
    EXPECT_FALSE(SnapshotXids::parse(text)) << text;
}

}  // namespace
}  // namespace tailrace
