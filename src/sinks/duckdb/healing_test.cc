#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// What the source answers for `rows`, with all transactions up to LSN `lsn` (xid lsn / 100) in the read.
FencedRows read(const RelationPtr& relation, const std::vector<Row>& rows, std::uint64_t lsn) {
  const std::string next = std::to_string(lsn / 100 + 1);
  FencedRows read;
  read.fence.snapshot = *SnapshotXids::parse(next + ":" + next + ":");
  read.fence.end = Lsn(lsn);
  read.rows.relation = relation;
  for (const Row& row : rows) read.rows.tuples += tuple_bytes(row);
  read.rows.count = rows.size();
  return read;
}

class Healing : public ::testing::Test {
 protected:
  static DuckdbSpec with_history() {
    DuckdbSpec spec;
    spec.history = {"public.*"};
    return spec;
  }
  void make(const RelationPtr& relation) {
    target.copy({{relation, {{"1", "a", "x"}}}});
    Batch batch(clock);
    batch.begin().insert(relation, {"2", "b", kUnchanged}).insert(relation, {"3", "c", kUnchanged});
    target.apply(batch);
  }
  std::uint64_t complete(const FencedRows& rows) {
    const std::uint64_t count = target.sink().complete(rows);
    target.sink().flush();
    return count;
  }

  Target target{with_history()};
  RelationPtr t = items();
  Clock clock;
};

TEST_F(Healing, ARowReadFromTheSourceIsWholeInMirrorAndHistory) {
  make(t);
  const auto lacking = target.sink().incomplete();
  ASSERT_TRUE(lacking);
  EXPECT_EQ(lacking->relation->name, "items");
  EXPECT_THAT(lacking->keys, ::testing::UnorderedElementsAre(tuple_bytes({"2"}), tuple_bytes({"3"})));
  EXPECT_EQ(complete(read(t, {{"2", "b", "BIG"}, {"3", "c", "LONG"}}, clock.lsn)), 2u);
  target.open();
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "2|b|BIG", "3|c|LONG"));
  EXPECT_THAT(target.sink().problems(), IsEmpty());
  EXPECT_FALSE(target.sink().incomplete());
  EXPECT_THAT(target.rows("(SELECT id, big, from_lsn, to_lsn, is_current FROM public.items__history WHERE id > 1)"),
              ElementsAre("2|BIG|1100|∅|true", "3|LONG|1100|∅|true"));
  Batch later(clock);
  later.begin().update(t, {"2", "b2", kUnchanged}).remove(t, {"3", std::nullopt, std::nullopt});
  target.apply(later);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "2|b2|BIG"));
  EXPECT_THAT(target.rows("(SELECT id, v, from_lsn, to_lsn FROM public.items__history WHERE id > 1)"),
              ElementsAre("2|b|1100|1200", "2|b2|1200|∅", "3|c|1100|1200"));
}

TEST_F(Healing, AReadThatLacksTheLastChangeOfARowIsNoUse) {
  make(t);
  const FencedRows early = read(t, {{"2", "b", "BIG"}, {"3", "c", "LONG"}}, clock.lsn);
  Batch later(clock);
  later.begin().update(t, {"2", "b2", kUnchanged}).update(t, {"3", "c2", "sent"});
  target.apply(later);
  target.open();
  EXPECT_EQ(complete(early), 0u);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "3|c2|sent"));
  EXPECT_EQ(complete(read(t, {{"2", "b2", "BIG"}}, clock.lsn)), 1u);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "2|b2|BIG", "3|c2|sent"));
}

TEST_F(Healing, ATransactionThatIsLoggedButNotYetVisibleKeepsTheRowWaiting) {
  make(t);
  FencedRows unsettled = read(t, {{"2", "b", "BIG"}}, clock.lsn);
  unsettled.fence.snapshot = *SnapshotXids::parse("11:12:11");  // the change that was applied is transaction 11
  EXPECT_EQ(complete(unsettled), 0u);
  EXPECT_EQ(target.sink().incomplete_rows(), 2u);
}

TEST_F(Healing, WhatWasNotFlushedIsReadAgain) {
  make(t);
  EXPECT_EQ(target.sink().complete(read(t, {{"2", "b", "BIG"}}, clock.lsn)), 1u);
  target.open();
  EXPECT_EQ(target.sink().incomplete_rows(), 2u);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
  EXPECT_EQ(complete(read(t, {{"2", "b", "BIG"}}, clock.lsn)), 1u);
}

TEST_F(Healing, ARowThatTheTargetCannotHoldBecomesALetter) {
  const auto odd = table("odd", {{"id", 20, -1, 1}, {"v", 1114}, {"big"}});
  target.copy({{odd, {}}});
  Batch batch(clock);
  batch.begin().insert(odd, {"2", kUnchanged, kUnchanged});
  target.apply(batch);
  EXPECT_EQ(complete(read(odd, {{"2", "9999999-01-01 00:00:00", "x"}}, clock.lsn)), 0u);
  const auto letters = target.sink().take_dead_letters();
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters.front().position.commit_end, Lsn(clock.lsn));
  EXPECT_EQ(target.sink().counters().dead_lettered, 1u);
  EXPECT_EQ(target.sink().counters().applied, 0u);
  EXPECT_FALSE(target.sink().incomplete());
}

TEST_F(Healing, KeysOfSeveralColumnsAreAskedInTheOrderOfThePrimaryKey) {
  const auto pairs = table("pairs", {{"a", 20, -1, 2}, {"b", 25, -1, 1}, {"big"}});
  target.copy({{pairs, {}}});
  Batch batch(clock);
  batch.begin().insert(pairs, {"7", "x", kUnchanged});
  target.apply(batch);
  EXPECT_THAT(target.sink().incomplete()->keys, ElementsAre(tuple_bytes({"x", "7"})));
  EXPECT_EQ(complete(read(pairs, {{"7", "x", "BIG"}}, clock.lsn)), 1u);
}

}  // namespace
}  // namespace tailrace::duckdb::test
