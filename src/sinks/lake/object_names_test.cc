#include "sinks/lake/object_names.h"

#include <gtest/gtest.h>

#include "base/error_code_for_test.h"

namespace tailrace::lake::test {
namespace {

Relation relation(const std::string& schema, const std::string& name) {
  Relation made;
  made.schema = schema;
  made.name = name;
  return made;
}

TEST(TablePathTest, NamesStayWithinTheirFolder) {
  const TablePath path("raw/{schema}/{table}");
  EXPECT_EQ(path.of(relation("public", "items-2_a.b")), "raw/public/items-2_a.b/");
  EXPECT_EQ(path.of(relation("a/b", "..")), "raw/a%2Fb/%2E./");
  EXPECT_EQ(path.of(relation("_state", "é *%")), "raw/%5Fstate/é%20%2A%25/");
}

TEST(TablePathTest, ThePartitionMayBeNamedAtTheEnd) {
  EXPECT_EQ(TablePath("{table}/{partition}").of(relation("s", "t")), "t/");
}

TEST(TablePathTest, WhatIsNoPathIsRefused) {
  for (const char* text : {"{schema}", "", "/{table}", "_state/{table}", "{table}/{id}", "{table", "a//{table}",
                           "../{table}", "{partition}/{table}"})
    EXPECT_EQ(code_of([text] { const TablePath path{std::string(text)}; }), "TR857") << text;
}

TEST(ObjectNamesTest, NamesSortAsTheirChangesCame) {
  const Position early{1, Lsn(0xff), 12};
  const Position late{1, Lsn(0x100), 0};
  const std::string first = range_name(early, early);
  EXPECT_EQ(first, "0000000100000000000000ff000000000000000c-0000000100000000000000ff000000000000000c");
  EXPECT_LT(first, range_name(late, late));
  EXPECT_LT(range_name({0, Lsn(), 99}, {0, Lsn(), 100}), first) << "rows of a copy come first";
}

TEST(ObjectNamesTest, OnlyOurNamesAreOurs) {
  const std::string name = range_name({1, Lsn(255), 0}, {1, Lsn(256), 3});
  EXPECT_TRUE(is_object("public/items/" + name + ".parquet"));
  EXPECT_FALSE(is_object("public/items/" + name));
  EXPECT_FALSE(is_object("public/items/notes.parquet"));
  EXPECT_FALSE(is_object("public/items/" + std::string(40, 'x') + name.substr(40) + ".parquet"));
}

TEST(ObjectNamesTest, DaysAreFolders) {
  EXPECT_EQ(partition_folder(Partitioning::kDay, 0), "date=1970-01-01/");
  EXPECT_EQ(partition_folder(Partitioning::kDay, 20'484), "date=2026-01-31/");
  EXPECT_EQ(partition_folder(Partitioning::kNone, 20'484), "");
}

}  // namespace
}  // namespace tailrace::lake::test
