#include "model/schema_change.h"

#include <gtest/gtest.h>

#include <memory>
#include <tuple>

namespace tailrace {
namespace {

constexpr std::uint32_t kInt4 = 23;
constexpr std::uint32_t kInt8 = 20;
constexpr std::uint32_t kText = 25;
constexpr std::uint32_t kVarchar = 1043;

struct Version {
  std::shared_ptr<Relation> relation = std::make_shared<Relation>();

  Version() {
    relation->oid = Oid(100);
    relation->schema = "public";
    relation->name = "t";
    relation->primary_key_immediate = true;
    relation->storage = 500;
  }
  Version& column(const char* name, std::int16_t attnum, std::uint32_t type = kInt4, std::int32_t typmod = -1) {
    Column column;
    column.name = name;
    column.attnum = attnum;
    column.type.declared = column.type.base = Oid(type);
    column.type.typmod = typmod;
    column.type.display = "type " + std::to_string(type);
    column.primary_key_place = attnum == 1 ? 1 : 0;
    column.in_identity = attnum == 1;
    relation->columns.push_back(column);
    relation->attributes = std::max(relation->attributes, attnum);
    return *this;
  }
  Version& missing(const char* text) {
    relation->columns.back().missing = text;
    return *this;
  }
  Version& attributes(std::int16_t count) {
    relation->attributes = count;
    return *this;
  }
  Version& storage(std::uint64_t number) {
    relation->storage = number;
    return *this;
  }
  /// What the catalog said of the column added last.
  Version& written(std::uint32_t xid, std::uint32_t default_value = 0) {
    relation->columns.back().written = xid;
    relation->columns.back().default_value = Oid(default_value);
    return *this;
  }
  Version& forms(std::vector<std::uint64_t> numbers) {
    relation->columns.back().type.forms = std::move(numbers);
    relation->columns.back().type.base_name = "mood";
    return *this;
  }
  Version& membership(std::uint64_t number) {
    relation->membership = number;
    return *this;
  }
  Version& partition(std::uint32_t oid, std::uint64_t attached, bool born_empty = false, std::uint64_t storage = 1) {
    relation->partitions.push_back({Oid(oid), attached, storage, born_empty});
    return *this;
  }
  Version& as_of(std::uint64_t place) {
    relation->as_of = Lsn(place);
    return *this;
  }
  Version& named(const char* schema, const char* name) {
    relation->schema = schema;
    relation->name = name;
    return *this;
  }
};

SchemaExplanation explained(const Version& before, const Version& after) {
  return explain(*before.relation, after.relation);
}

TEST(SchemaChange, AVersionSentAgainChangesNothing) {
  const auto found = explained(Version().column("id", 1).column("a", 2), Version().column("id", 1).column("a", 2));
  ASSERT_TRUE(found.change);
  EXPECT_TRUE(found.change->nothing_visible);
  EXPECT_FALSE(found.change->key_changed);
  EXPECT_EQ(found.change->kept.size(), 2u);
}

TEST(SchemaChange, AVersionThatAYoungerCatalogDoesNotKnowKeepsItsAttnums) {
  const auto found = explained(Version().column("id", 1).column("a", 2), Version().column("id", 0).column("a", 0));
  ASSERT_TRUE(found.change);
  EXPECT_TRUE(found.change->nothing_visible);
  EXPECT_EQ(found.after->columns[1].attnum, 2);
}

TEST(SchemaChange, AnAddedColumnShowsItsMissingValueInOlderRows) {
  const auto found = explained(Version().column("id", 1), Version().column("id", 1).column("a", 2).missing("7"));
  ASSERT_TRUE(found.change);
  ASSERT_EQ(found.change->added.size(), 1u);
  EXPECT_EQ(found.change->added[0].after, 1u);
  EXPECT_EQ(found.change->added[0].missing, "7");
}

TEST(SchemaChange, AnAddedColumnWithoutDefaultIsNullInOlderRows) {
  const auto found = explained(Version().column("id", 1), Version().column("id", 1).column("a", 2));
  ASSERT_TRUE(found.change);
  EXPECT_EQ(found.change->added.at(0).missing, std::nullopt);
}

TEST(SchemaChange, AColumnWhoseAdditionRewroteTheTableIsNotExplained) {
  const auto found = explained(Version().column("id", 1), Version().column("id", 1).column("a", 2).storage(501));
  EXPECT_FALSE(found.change);
  EXPECT_EQ(found.doubt, "the table was rewritten when its columns changed");
}

TEST(SchemaChange, RowsOfUnknownStorageAreNotExplained) {
  EXPECT_FALSE(explained(Version().column("id", 1).storage(0), Version().column("id", 1).column("a", 2)).change);
}

TEST(SchemaChange, AColumnIsFollowedThroughItsRenaming) {
  const auto found = explained(Version().column("id", 1).column("a", 2), Version().column("id", 1).column("b", 2));
  ASSERT_TRUE(found.change);
  EXPECT_TRUE(found.change->dropped.empty());
  EXPECT_TRUE(found.change->added.empty());
  EXPECT_FALSE(found.change->nothing_visible);
}

TEST(SchemaChange, NamesThatChangedHandsAreFollowed) {
  const auto found = explained(Version().column("id", 1).column("a", 2).column("b", 3),
                               Version().column("id", 1).column("b", 2).column("a", 3));
  ASSERT_TRUE(found.change);
  EXPECT_EQ(found.change->kept[1].before, 1u);
  EXPECT_EQ(found.change->kept[1].after, 1u);
}

TEST(SchemaChange, ADroppedColumnAndAnAddedOneAreTwoColumns) {
  const auto found = explained(Version().column("id", 1).column("a", 2), Version().column("id", 1).column("b", 3));
  ASSERT_TRUE(found.change);
  EXPECT_EQ(found.change->dropped, std::vector<std::size_t>{1});
  EXPECT_EQ(found.change->added.size(), 1u);
}

TEST(SchemaChange, AColumnDroppedAndAddedUnderItsNameIsNotExplained) {
  EXPECT_FALSE(explained(Version().column("id", 1).column("a", 2), Version().column("id", 1).column("a", 3)).change);
  EXPECT_FALSE(
      explained(Version().column("id", 1).column("a", 2), Version().column("id", 1).column("a", 3, kText)).change);
}

TEST(SchemaChange, AGapInTheNumbersOfAddedColumnsIsNotExplained) {
  EXPECT_FALSE(explained(Version().column("id", 1), Version().column("id", 1).column("b", 3)).change);
}

TEST(SchemaChange, AColumnThatWasThereButNotPublishedIsNotExplained) {
  EXPECT_FALSE(
      explained(Version().column("id", 1).attributes(2), Version().column("id", 1).column("secret", 2)).change);
}

TEST(SchemaChange, CountsTheColumnsOfItsPlaceNotThoseOfAYoungerCatalog) {
  const auto first = explained(Version().column("id", 1), Version().column("id", 1).column("a", 2).attributes(3));
  ASSERT_TRUE(first.change);
  Version second;
  second.column("id", 1).column("a", 2).column("b", 3);
  EXPECT_TRUE(explain(*first.after, second.relation).change);
}

TEST(SchemaChange, AColumnThatTheCatalogDoesNotKnowIsNotExplained) {
  EXPECT_FALSE(explained(Version().column("id", 1), Version().column("id", 1).column("b", 0)).change);
}

TEST(SchemaChange, AWiderTypeIsExplainedWhereTheRowsStayed) {
  const auto widened = explained(Version().column("id", 1).column("a", 2, kVarchar, 14),
                                 Version().column("id", 1).column("a", 2, kVarchar, 24));
  EXPECT_TRUE(widened.change);
  EXPECT_TRUE(
      explained(Version().column("id", 1).column("a", 2, kVarchar, 14), Version().column("id", 1).column("a", 2, kText))
          .change);
  EXPECT_FALSE(explained(Version().column("id", 1).column("a", 2, kVarchar, 14),
                         Version().column("id", 1).column("a", 2, kVarchar, 24).storage(501))
                   .change);
}

TEST(SchemaChange, AnotherTypeIsNotExplained) {
  const auto found = explained(Version().column("id", 1).column("a", 2, kInt4),
                               Version().column("id", 1).column("a", 2, kInt8).storage(501));
  EXPECT_FALSE(found.change);
  EXPECT_EQ(found.doubt, "the type of column \"a\" changed from type 23 to type 20");
}

TEST(SchemaChange, ARenamedTableIsTheSameTable) {
  const auto found = explained(Version().column("id", 1), Version().named("other", "u").column("id", 1));
  ASSERT_TRUE(found.change);
  EXPECT_TRUE(found.change->table_renamed);
  EXPECT_FALSE(found.change->nothing_visible);
}

TEST(SchemaChange, ATableMadeAnewIsNotExplained) {
  Version anew;
  anew.column("id", 1).relation->oid = Oid(101);
  EXPECT_EQ(explained(Version().column("id", 1), anew).doubt, "the table was made anew");
}

TEST(SchemaChange, AnotherKeyIsNoticed) {
  Version other;
  other.column("id", 1).column("a", 2);
  other.relation->columns[0].primary_key_place = 0;
  other.relation->columns[1].primary_key_place = 1;
  other.relation->columns[0].in_identity = false;
  other.relation->columns[1].in_identity = true;
  const auto found = explained(Version().column("id", 1).column("a", 2), other);
  ASSERT_TRUE(found.change);
  EXPECT_TRUE(found.change->key_changed);
  EXPECT_TRUE(found.change->nothing_visible);
}

TEST(SchemaChange, IsDescribedInOneLine) {
  Version before;
  before.column("id", 1).column("a", 2).column("b", 3, kVarchar, 14);
  Version after;
  after.named("public", "u").column("id", 1).column("c", 3, kText).column("d", 4);
  EXPECT_EQ(describe(*before.relation, explained(before, after)),
            "renamed from public.t; dropped \"a\"; renamed \"b\" to \"c\"; \"c\" became type 25; added \"d\" type 23");
  EXPECT_EQ(describe(*before.relation,
                     explained(before, Version().column("id", 1, kInt8).column("a", 2).column("b", 3, kVarchar, 14))),
            "not explained: the type of column \"id\" changed from type 23 to type 20");
}

TEST(SchemaChange, ARewriteThatWritesAColumnsCatalogRowAnewIsNotBelieved) {
  const auto before = Version().column("id", 1).written(50).column("a", 2).written(50);
  EXPECT_TRUE(explained(before, Version().storage(501).column("id", 1).written(50).column("a", 2).written(50)).change);
  const auto found = explained(before, Version().storage(501).column("id", 1).written(50).column("a", 2).written(60));
  EXPECT_EQ(found.doubt, "the table was rewritten");
}

TEST(SchemaChange, AMissingValueThatARewriteFilledInIsBelievedWhileItsDefaultStays) {
  const auto before = Version().column("id", 1).written(50).column("a", 2).missing("7").written(50, 900);
  const auto after = [](std::uint32_t default_value) {
    return Version().storage(501).column("id", 1).written(50).column("a", 2).written(60, default_value);
  };
  EXPECT_TRUE(explained(before, after(900)).change);
  EXPECT_FALSE(explained(before, after(901)).change);
}

TEST(SchemaChange, AReadingThatIsYoungerThanTheStreamDoesNotSayWhereTheRowsAre) {
  const auto found = explained(Version().column("id", 1), Version().column("id", 1).attributes(2).storage(501));
  ASSERT_TRUE(found.change);
  EXPECT_EQ(found.after->storage, 500u);
  Version later;
  later.column("id", 1).column("token", 2).storage(501);
  EXPECT_FALSE(explain(*found.after, later.relation).change);
}

TEST(SchemaChange, AnotherStorageOfATableWithoutRowsSaysNothing) {
  const auto before = Version().column("id", 1);
  const auto after = Version().storage(501).column("id", 1).column("a", 2);
  EXPECT_FALSE(explain(*before.relation, after.relation).change);
  const auto found = explain(*before.relation, after.relation, true);
  ASSERT_TRUE(found.change);
  EXPECT_EQ(found.after->storage, 501u);
}

TEST(SchemaChange, WhatOlderRowsShowInANewColumnIsNotGuessedWhereTheCatalogHadGoneOn) {
  const auto before = Version().column("id", 1).as_of(100);
  const auto known = Version().column("id", 1).column("n", 2).written(700).missing("7").as_of(200);
  ASSERT_TRUE(explained(before, known).change);
  const auto renamed_since = Version().column("id", 1).column("n", 2).as_of(300);
  EXPECT_EQ(explained(before, renamed_since).doubt,
            "column \"n\" was altered again before it was known what older rows show in it");
}

TEST(SchemaChange, AFormThatIsGoneLeavesOlderValuesUnknownAndOneMoreDoesNot) {
  const auto before = Version().as_of(10).column("id", 1).column("m", 2).forms({1, 2});
  EXPECT_TRUE(explained(before, Version().as_of(20).column("id", 1).column("m", 2).forms({1, 2, 3})).change);
  EXPECT_FALSE(explained(before, Version().as_of(20).column("id", 1).column("m", 2).forms({1, 3})).change);
}

TEST(SchemaChange, WhatAnOlderReadingSaysOfTheCatalogIsNotTaken) {
  const auto before = Version().as_of(20).membership(5).column("id", 1).column("m", 2).forms({1, 3});
  const auto found =
      explained(before, Version().as_of(10).membership(4).storage(400).column("id", 1).column("m", 2).forms({1, 2}));
  ASSERT_TRUE(found.change);
  EXPECT_EQ(found.after->columns[1].type.forms, (std::vector<std::uint64_t>{1, 3}));
  EXPECT_EQ(std::tuple(found.after->membership, found.after->storage, found.after->as_of),
            std::tuple(5u, 500u, Lsn(20)));
}

TEST(SchemaChange, AnotherMembershipMeansThatChangesMayBeMissing) {
  const auto before = Version().as_of(10).membership(5).column("id", 1);
  EXPECT_FALSE(explained(before, Version().as_of(20).membership(6).column("id", 1)).change);
  const auto unknown = explained(before, Version().as_of(20).column("id", 1));
  ASSERT_TRUE(unknown.change);
  EXPECT_EQ(unknown.after->membership, 5u);
}

TEST(SchemaChange, PartitionsThatComeWithRowsOrGoAreNotExplained) {
  const auto before = Version().as_of(10).column("id", 1).partition(201, 7).partition(202, 8);
  const auto doubt = [&](const Version& after) { return explained(before, after).doubt; };
  EXPECT_EQ(doubt(Version().as_of(20).column("id", 1).partition(201, 7).partition(202, 8).partition(203, 9, true)), "");
  EXPECT_EQ(doubt(Version().as_of(20).column("id", 1).partition(201, 7).partition(202, 8).partition(203, 9)),
            "a partition was attached, perhaps with rows");
  EXPECT_EQ(doubt(Version().as_of(20).column("id", 1).partition(201, 7)), "a partition was detached or dropped");
  EXPECT_EQ(doubt(Version().as_of(20).column("id", 1).partition(201, 7).partition(202, 99)),
            "a partition was detached or dropped");
}

TEST(SchemaChange, APartitionWithAnotherStorageIsExplainedByATruncateOfItsRootOnly) {
  const auto before = Version().as_of(10).column("id", 1).partition(201, 7).partition(202, 8);
  const auto after = Version().as_of(20).column("id", 1).partition(201, 7).partition(202, 8, false, 99);
  EXPECT_EQ(explained(before, after).doubt, "a partition was emptied or rewritten, which the stream does not show");
  EXPECT_EQ(explain(*before.relation, after.relation, true).doubt, "");
}

TEST(SchemaChange, ATypeThatTheCatalogDoesNotKnowAnyMoreIsWhatItWas) {
  auto before = Version().column("id", 1).column("l", 2, 70000).forms({});
  before.relation->columns[1].type.base = Oid(kInt4);
  const auto found = explained(before, Version().column("id", 1).column("l", 0, 70000));
  ASSERT_TRUE(found.change);
  EXPECT_EQ(found.after->columns[1].type.base, Oid(kInt4));
}

}  // namespace
}  // namespace tailrace
