#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "sinks/duckdb/side_copy.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A version of a table whose rows were never written anew; columns may be named with their attnum.
struct Numbered {
  ColumnSpec spec;
  std::int16_t attnum = 0;
  std::optional<std::string> missing = std::nullopt;
};

RelationPtr version(const std::vector<Numbered>& columns, ReplicaIdentity identity = ReplicaIdentity::kDefault,
                    const std::string& name = "items", std::uint32_t oid = 16384) {
  std::vector<ColumnSpec> specs;
  for (const Numbered& column : columns) specs.push_back(column.spec);
  auto relation = std::make_shared<Relation>(*table(name, specs, identity, oid));
  for (std::size_t n = 0; n < columns.size(); ++n) {
    Column& column = relation->columns[n];
    if (columns[n].attnum != 0) column.attnum = columns[n].attnum;
    column.missing = columns[n].missing;
    relation->attributes = std::max(relation->attributes, column.attnum);
  }
  relation->storage = 7;
  return relation;
}

const Numbered kId = {{"id", 20, -1, 1}};
const Numbered kV = {{"v"}};

DuckdbSpec with(DroppedColumns dropped, bool history = false) {
  DuckdbSpec spec;
  spec.dropped_columns = dropped;
  if (history) spec.history = {"public.*"};
  return spec;
}

TEST(SchemaChanges, AnAddedColumnShowsItsDefaultInOlderRows) {
  Target target;
  const auto before = version({kId, kV});
  target.copy({{before, {{"1", "a"}, {"2", "b"}}}});
  const auto after =
      version({kId, kV, {{"n", 23}, 3, "7"}, {{"tags", 1009, -1, 0, TypeKind::kArray, 25}, 4, "{\"x, y\",NULL}"}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(before, {"1", "A"});
  batch.begin().insert(after, {"3", "c", "8", "{}"}).update(after, {"2", "B", std::nullopt, std::nullopt});
  target.apply(batch);
  EXPECT_THAT(target.sink().problems(), IsEmpty());
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|A|7|['x, y', NULL]", "2|B|∅|∅", "3|c|8|[]"));
  target.open();
  Batch later(clock);
  later.begin().insert(after, {"4", "d", "1", "{q}"});
  target.apply(later);
  EXPECT_EQ(target.query("SELECT count(*)::VARCHAR FROM public.items"), std::vector<std::string>{"4"});
}

TEST(SchemaChanges, DefaultsOfEveryShapeAreReadBack) {
  Target target;
  const auto before = version({kId});
  target.copy({{before, {{"1"}}}});
  const auto after = version({kId,
                              {{"b", 17}, 2, "\\x00ff27"},
                              {{"t", 25}, 3, "it's \\ \"quoted\""},
                              {{"d", 1700, ((10 << 16) | 2) + 4}, 4, "1.50"},
                              {{"ts", 1184}, 5, "2024-02-29 12:00:00.000001+00"},
                              {{"f", 701}, 6, "-0.1"},
                              {{"i", 1186}, 7, "1 mon 2 days 03:04:05"},
                              {{"j", 3802}, 8, "{\"a\": [1, null]}"},
                              {{"e", 25}, 9, ""},
                              {{"u", 2950}, 10, "00000000-0000-0000-0000-000000000001"}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(after,
                       {"2", "\\x00ff27", "it's \\ \"quoted\"", "1.50", "2024-02-29 12:00:00.000001+00", "-0.1",
                        "1 mon 2 days 03:04:05", "{\"a\": [1, null]}", "", "00000000-0000-0000-0000-000000000001"});
  target.apply(batch);
  EXPECT_THAT(target.sink().problems(), IsEmpty());
  EXPECT_EQ(target.query("SELECT count(*)::VARCHAR FROM (SELECT DISTINCT COLUMNS(* EXCLUDE id) FROM public.items)"),
            std::vector<std::string>{"1"});
}

TEST(SchemaChanges, RenamedColumnsAreFollowedAlsoWhereTheyTradeNames) {
  Target target(with(DroppedColumns::kHold, true));
  const auto before = version({kId, {{"a"}, 2}, {{"b"}, 3}});
  target.copy({{before, {{"1", "left", "right"}}}});
  const auto after = version({kId, {{"b"}, 2}, {{"a"}, 3}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(before, {"2", "l", "r"}).insert(after, {"3", "L", "R"}).update(after, {"2", "l2", "r2"});
  target.apply(batch);
  EXPECT_THAT(target.query("SELECT id::VARCHAR, b, a FROM public.items ORDER BY id"),
              ElementsAre("1|left|right", "2|l2|r2", "3|L|R"));
  EXPECT_THAT(target.query("SELECT id::VARCHAR, b, a, is_current::VARCHAR FROM public.items__history ORDER BY ALL"),
              ElementsAre("1|left|right|true", "2|l2|r2|true", "3|L|R|true"));
}

TEST(SchemaChanges, ADroppedColumnHoldsTheTableUnlessTheSpecSaysOtherwise) {
  const auto before = version({kId, kV, {{"w"}, 3}});
  const auto after = version({kId, {{"w"}, 3}});
  for (const DroppedColumns dropped : {DroppedColumns::kHold, DroppedColumns::kDrop, DroppedColumns::kKeep}) {
    Target target(with(dropped));
    target.copy({{before, {{"1", "a", "x"}}}});
    Clock clock;
    Batch batch(clock);
    batch.begin().insert(before, {"2", "b", "y"}).insert(after, {"3", "z"});
    target.apply(batch);
    if (dropped == DroppedColumns::kHold) {
      ASSERT_EQ(target.sink().problems().size(), 1u);
      EXPECT_EQ(target.sink().counters().held, 1u);
      EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "2|b|y"));
    } else if (dropped == DroppedColumns::kDrop) {
      EXPECT_THAT(target.rows("public.items"), ElementsAre("1|x", "2|y", "3|z"));
    } else {
      EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "2|∅|y", "3|∅|z"));
    }
    target.open();
    Batch later(clock);
    later.begin().insert(after, {"4", "q"});
    target.apply(later);
    EXPECT_EQ(target.sink().problems().size(), dropped == DroppedColumns::kHold ? 1u : 0u);
  }
}

TEST(SchemaChanges, AHistoryKeepsWhatADroppedColumnHad) {
  Target target(with(DroppedColumns::kDrop, true));
  const auto before = version({kId, kV, {{"w"}, 3}});
  const auto after = version({kId, {{"w"}, 3}});
  target.copy({{before, {{"1", "a", "x"}, {"2", "b", "y"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(after, {"1", "X"});
  target.apply(batch);
  EXPECT_THAT(target.query("SELECT id::VARCHAR, v, w, is_current::VARCHAR FROM public.items__history ORDER BY ALL"),
              ElementsAre("1|a|x|false", "1|∅|X|true", "2|b|y|true"));
  target.open();
  // The name comes back for another column.
  const auto again = version({kId, {{"w"}, 3}, {{"v", 20}, 4}});
  Batch later(clock);
  later.begin().remove(again, {"2", std::nullopt, std::nullopt}).insert(again, {"3", "z", "5"});
  target.apply(later);
  EXPECT_THAT(target.sink().problems(), IsEmpty());
  EXPECT_THAT(target.query("SELECT id::VARCHAR, v::VARCHAR, w, v__until_4B0, is_current::VARCHAR FROM "
                           "public.items__history ORDER BY ALL"),
              ElementsAre("1|∅|X|∅|true", "1|∅|x|a|false", "2|∅|y|b|false", "3|5|z|∅|true"));
  EXPECT_THAT(
      target.query("SELECT id::VARCHAR, w, v::VARCHAR FROM public.items__as_of(now() + INTERVAL 99 YEAR) ORDER BY ALL"),
      ElementsAre("1|X|∅", "3|z|5"));
}

TEST(SchemaChanges, AWiderTypeTakesTheRowsAlong) {
  Target target;
  const auto before = version({kId, {{"n", 1700, ((5 << 16) | 2) + 4}, 2}, {{"t", 1043, 14}, 3}});
  const auto after = version({kId, {{"n", 1700, ((30 << 16) | 2) + 4}, 2}, {{"t", 25}, 3}});
  target.copy({{before, {{"1", "123.45", "a"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(after, {"2", "1234567890123456789012345678.90", "longer than ten"});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"),
              ElementsAre("1|123.45|a", "2|1234567890123456789012345678.90|longer than ten"));
}

TEST(SchemaChanges, ARenamedTableTakesItsRowsItsHistoryAndItsBooksAlong) {
  Target target(with(DroppedColumns::kHold, true));
  const auto before = version({kId, kV});
  target.copy({{before, {{"1", "a"}}}});
  const auto renamed = version({kId, kV}, ReplicaIdentity::kDefault, "goods");
  auto moved = std::make_shared<Relation>(*renamed);
  moved->schema = "shop";
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(before, {"2", "b"}).insert(renamed, {"3", "c"});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.goods"), ElementsAre("1|a", "2|b", "3|c"));
  target.open();
  Batch later(clock);
  later.begin().update(renamed, {"1", "A"});
  target.apply(later);
  EXPECT_THAT(target.query("SELECT id::VARCHAR, v FROM public.goods__history WHERE NOT is_current"),
              ElementsAre("1|a"));
  EXPECT_THAT(target.query("SELECT table_name FROM tailrace.baselines"), ElementsAre("goods"));
  EXPECT_THAT(target.query("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'items%'"), IsEmpty());
}

TEST(SchemaChanges, ATableMovesToAnotherSchema) {
  Target target;
  const auto before = version({kId, {{"j", 3802}, 2}});
  target.copy({{before, {{"1", "{}"}}}});
  auto moved = std::make_shared<Relation>(*before);
  moved->schema = "shop";
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(before, {"2", "[]"}).insert(moved, {"3", "1"}).remove(moved, {"1", std::nullopt});
  target.apply(batch);
  EXPECT_THAT(target.sink().problems(), IsEmpty());
  EXPECT_THAT(target.rows("shop.items"), ElementsAre("2|[]", "3|1"));
  target.open();
  Batch later(clock);
  later.begin().update(moved, {"2", "[2]"});
  target.apply(later);
  EXPECT_THAT(target.rows("shop.items"), ElementsAre("2|[2]", "3|1"));
}

TEST(SchemaChanges, TwoTablesTradeNames) {
  Target target;
  const auto a = version({kId, kV}, ReplicaIdentity::kDefault, "a", 100);
  const auto b = version({kId, kV}, ReplicaIdentity::kDefault, "b", 200);
  target.copy({{a, {{"1", "of a"}}}, {b, {{"1", "of b"}}}});
  const auto a_as_b = version({kId, kV}, ReplicaIdentity::kDefault, "b", 100);
  const auto b_as_a = version({kId, kV}, ReplicaIdentity::kDefault, "a", 200);
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(a_as_b, {"2", "of a"});
  target.apply(batch);
  Batch later(clock);
  later.begin().insert(b_as_a, {"2", "of b"});
  target.apply(later);
  EXPECT_THAT(target.rows("public.b"), ElementsAre("1|of a", "2|of a"));
  EXPECT_THAT(target.rows("public.a"), ElementsAre("1|of b", "2|of b"));
}

TEST(SchemaChanges, AnotherKeyTakesOverInTheMiddleOfABatch) {
  Target target;
  const auto before = version({kId, {{"k"}, 2}});
  const auto after = version({{{"id", 20}, 1}, {{"k", 25, -1, 1}, 2}});
  target.copy({{before, {{"1", "a"}, {"2", "b"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(before, {"1", "c"}).insert(before, {"3", "a"});
  batch.begin().update(after, {"9", "c"}).remove(after, {std::nullopt, "a"}).insert(after, {"4", "d"});
  target.apply(batch);
  EXPECT_THAT(target.sink().problems(), IsEmpty());
  EXPECT_THAT(target.rows("public.items"), ElementsAre("2|b", "4|d", "9|c"));
  target.open();
  Batch later(clock);
  later.begin().update(after, {"5", "b"});
  target.apply(later);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("4|d", "5|b", "9|c"));
}

TEST(SchemaChanges, ValuesThatWereNotSentStayThroughAlterations) {
  Target target;
  const auto before = version({kId, kV, {{"big"}, 3}});
  const auto after = version({kId, {{"word"}, 2}, {{"large"}, 3}, {{"n", 23}, 4, "0"}});
  target.copy({{before, {{"1", "a", "LARGE"}, {"2", "b", "HUGE"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(before, {"1", "A", kUnchanged}).update(after, {"2", "B", kUnchanged, "1"});
  batch.begin().update(after, {"1", "AA", kUnchanged, "2"});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|AA|LARGE|2", "2|B|HUGE|1"));
}

TEST(SchemaChanges, AlterationsBehindTheFirstPartOfAGiantHoldTheTable) {
  Target target;
  const auto before = version({kId, kV});
  const auto after = version({kId, kV, {{"n", 23}, 3}});
  target.copy({{before, {{"1", "a"}}}});
  Clock clock;
  Batch first(clock);
  first.begin(true, false).update(before, {"1", "b"});
  target.sink().apply(first.done());
  Batch second(clock);
  second.begin(false, true).update(after, {"1", "c", "3"});
  target.apply(second);
  ASSERT_EQ(target.sink().problems().size(), 1u);
  EXPECT_EQ(target.sink().counters().held, 1u);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|b"));
}

TEST(SchemaChanges, WhatCannotBeExplainedHoldsThisTableOnly) {
  Target target;
  const auto before = version({kId, kV});
  auto rewritten = std::make_shared<Relation>(*version({kId, kV, {{"n", 23}, 3}}));
  rewritten->storage = 8;
  const auto other = version({kId}, ReplicaIdentity::kDefault, "other", 20000);
  target.copy({{before, {{"1", "a"}}}, {other, {}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(before, {"2", "b"}).insert(rewritten, {"3", "c", "1"}).insert(other, {"5"});
  target.apply(batch);
  ASSERT_EQ(target.sink().problems().size(), 1u);
  EXPECT_EQ(target.sink().problems().front().code, "TR610");
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a", "2|b"));
  EXPECT_THAT(target.rows("public.other"), ElementsAre("5"));
}

TEST(SchemaChanges, ARolledBackAlterationLeavesNothing) {
  Target target;
  const auto before = version({kId, kV});
  const auto renamed = version({kId, {{"word"}, 2}}, ReplicaIdentity::kDefault, "goods");
  target.copy({{before, {{"1", "a"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(renamed, {"7", "no such row"});
  EXPECT_THROW(target.apply(batch), RetryError);
  target.open();
  ASSERT_EQ(target.sink().problems().size(), 1u);
  EXPECT_EQ(target.sink().problems().front().code, "TR612");
  EXPECT_THAT(target.query("SELECT id::VARCHAR, v FROM public.items"), ElementsAre("1|a"));
}

/// The version with another storage, as after a truncate.
RelationPtr moved(const RelationPtr& relation, std::uint64_t storage) {
  auto out = std::make_shared<Relation>(*relation);
  out->storage = storage;
  return out;
}

RelationPtr standing(const RelationPtr& relation, Standing standing) {
  auto out = std::make_shared<Relation>(*relation);
  out->standing = standing;
  return out;
}

TEST(SchemaChanges, ATruncateExplainsAnotherStorageOfTheVersionBehindIt) {
  Target target(with(DroppedColumns::kDrop, true));
  const auto before = version({kId, kV});
  const auto after = moved(version({kId, kV, {{"n", 23}, 3}}), 8);
  target.copy({{before, {{"1", "a"}}}});
  Clock clock;
  Batch shown_by_truncate(clock);
  shown_by_truncate.begin().update(before, {"1", "b"}).truncate(after).insert(after, {"2", "c", "5"});
  target.apply(shown_by_truncate);
  EXPECT_THAT(target.sink().problems(), IsEmpty());
  EXPECT_THAT(target.rows("public.items"), ElementsAre("2|c|5"));
  Batch truncates(clock);
  truncates.begin().truncate(after);
  target.apply(truncates);
  Batch behind(clock);
  const auto last = moved(version({kId, kV, {{"n", 23}, 3}, {{"m", 23}, 4}}), 9);
  behind.begin().insert(last, {"3", "d", "6", "7"});
  target.apply(behind);
  EXPECT_THAT(target.sink().problems(), IsEmpty());
  EXPECT_THAT(target.rows("public.items"), ElementsAre("3|d|6|7"));
}

TEST(SchemaChanges, RowsBehindATruncateMakeAnotherStorageDoubtfulAgain) {
  Target target;
  const auto before = version({kId, kV});
  target.copy({{before, {{"1", "a"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().truncate(before).insert(before, {"2", "b"});
  batch.begin().insert(moved(version({kId, kV, {{"n", 23}, 3}}), 8), {"3", "c", "1"});
  target.apply(batch);
  ASSERT_EQ(target.sink().problems().size(), 1u);
  EXPECT_EQ(target.sink().problems().front().code, "TR610");
  EXPECT_THAT(target.rows("public.items"), ElementsAre("2|b"));
}

TEST(SchemaChanges, ADescriptionAltersTheTableWithoutARowAndIsNotCounted) {
  Target target;
  const auto before = version({kId, kV});
  const auto after = version({kId, kV, {{"n", 23}, 3, "7"}});
  target.copy({{before, {{"1", "a"}}}});
  Clock clock{2000, 2000};
  Batch batch(clock);
  batch.begin().describe(after);
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|7"));
  EXPECT_EQ(target.sink().counters(), sinks::Counters{});
  target.open();
  Batch later(clock);
  later.begin().insert(after, {"2", "b", "8"});
  target.apply(later);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|7", "2|b|8"));
}

TEST(SchemaChanges, ADescribedTableThatNobodyCopiedIsWanted) {
  Target target;
  target.copy({{version({kId, kV}), {{"1", "a"}}}});
  Clock clock{2000, 2000};
  Batch batch(clock);
  batch.begin().describe(version({kId}, ReplicaIdentity::kDefault, "fresh", 20000));
  target.apply(batch);
  EXPECT_THAT(target.sink().side_copy()->wanted(), ElementsAre(sinks::TableName("public", "fresh")));
}

TEST(SchemaChanges, ATableThatIsGoneStandsStillUntilItIsThereAgain) {
  Target target;
  const auto there = version({kId, kV});
  target.copy({{there, {{"1", "a"}}}});
  Clock clock{2000, 2000};
  Batch batch(clock);
  batch.begin().describe(standing(there, Standing::kDropped));
  target.apply(batch);
  ASSERT_EQ(target.sink().problems().size(), 1u);
  EXPECT_EQ(target.sink().problems().front().code, kGone);
  EXPECT_THAT(target.sink().side_copy()->wanted(), IsEmpty());
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a"));
  target.open();
  Batch again(clock);
  again.begin().insert(version({kId}, ReplicaIdentity::kDefault, "items", 20000), {"2"});
  target.apply(again);
  EXPECT_EQ(target.sink().problems().front().code, "TR610");
  EXPECT_THAT(target.sink().side_copy()->wanted(), ElementsAre(sinks::TableName("public", "items")));
}

TEST(SchemaChanges, ATableOfAnotherOidIsNotTakenForTheOneThatIsGone) {
  Target target;
  const auto there = version({kId, kV});
  target.copy({{there, {{"1", "a"}}}});
  Clock clock{2000, 2000};
  Batch batch(clock);
  batch.begin().describe(
      standing(version({kId, kV}, ReplicaIdentity::kDefault, "items", 20000), Standing::kUnpublished));
  batch.begin().update(there, {"1", "b"});
  target.apply(batch);
  EXPECT_THAT(target.sink().problems(), IsEmpty());
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|b"));
}

}  // namespace
}  // namespace tailrace::duckdb::test
