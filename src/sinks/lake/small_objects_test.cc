#include "sinks/lake/small_objects.h"

#include <gtest/gtest.h>

#include "sinks/lake/compaction.h"

namespace tailrace::lake::test {
namespace {

SmallGroup group_of(const std::vector<std::uint32_t>& levels) {
  SmallGroup group;
  for (const std::uint32_t level : levels)
    group.objects.push_back({.path = std::to_string(group.objects.size()), .bytes = 10, .level = level});
  return group;
}

std::vector<std::string> paths(std::span<const SmallObject> objects) {
  std::vector<std::string> paths;
  for (const SmallObject& object : objects) paths.push_back(object.path);
  return paths;
}

TEST(SmallObjectsTest, NeighboursOfOneLevelAreMerged) {
  EXPECT_TRUE(group_of({}).run(2).empty());
  EXPECT_TRUE(group_of({1, 0, 0}).run(3).empty());
  EXPECT_EQ(paths(group_of({2, 1, 0, 0, 0, 0}).run(3)), (std::vector<std::string>{"2", "3", "4"}));
  EXPECT_EQ(paths(group_of({1, 1, 0, 0}).run(2)), (std::vector<std::string>{"0", "1"}));
}

TEST(SmallObjectsTest, WhatWasMergedStandsInThePlaceOfItsParts) {
  SmallGroup group = group_of({1, 0, 0, 0});
  EXPECT_TRUE(group.replace({"1", "2"}, {.path = "m", .bytes = 20, .level = 1}, 100));
  EXPECT_EQ(paths(group.objects), (std::vector<std::string>{"0", "m", "3"}));
  EXPECT_EQ(paths(group.run(2)), (std::vector<std::string>{"0", "m"}));
}

TEST(SmallObjectsTest, WhatIsLargeEnoughIsLeftAloneWithAllBeforeIt) {
  SmallGroup group = group_of({1, 0, 0, 0});
  EXPECT_TRUE(group.replace({"1", "2"}, {.path = "m", .bytes = 100, .level = 1}, 100));
  EXPECT_EQ(paths(group.objects), (std::vector<std::string>{"3"}));
}

TEST(SmallObjectsTest, PartsThatAreNotThereAnyMoreAreNotReplaced) {
  SmallGroup group = group_of({0, 0, 0});
  EXPECT_FALSE(group.replace({"1", "3"}, {.path = "m"}, 100));
  EXPECT_FALSE(group.replace({"2", "3"}, {.path = "m"}, 100));
  EXPECT_FALSE(SmallGroup().replace({"1"}, {.path = "m"}, 100));
  EXPECT_EQ(group.objects.size(), 3U);
}

TEST(CompactionTest, TheHeaderOfCsvEndsAtItsLine) {
  EXPECT_EQ(csv_header_size("a,b\n1,2\n"), 4U);
  EXPECT_EQ(csv_header_size("a,\"b\n\"\"c\"\n1,2\n"), 10U);
  EXPECT_EQ(csv_header_size("a"), 1U);
}

}  // namespace
}  // namespace tailrace::lake::test
