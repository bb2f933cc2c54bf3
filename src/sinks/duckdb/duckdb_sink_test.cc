#include "sinks/duckdb/duckdb_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(DuckdbSink, CopiedRowsAndLaterChangesMakeTheMirror) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "x"}, {"2", "b", "y"}, {"3", "c", std::nullopt}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(t, {"4", "d", "z"}).update(t, {"1", "A", "x"});
  batch.begin().remove(t, {"2", std::nullopt, std::nullopt});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|A|x", "3|c|∅", "4|d|z"));
  EXPECT_EQ(target.sink().counters().received, 3u);
  EXPECT_EQ(target.sink().counters().applied, 3u);
}

TEST(DuckdbSink, CursorAndCountersSurviveReopening) {
  Target target;
  const auto t = items();
  target.copy({{t, {}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(t, {"1", "a", "x"});
  target.sink().apply(batch.done());
  const Cursor cursor = target.sink().flush();
  target.open();
  ASSERT_TRUE(target.state().cursor);
  EXPECT_EQ(*target.state().cursor, cursor);
  EXPECT_EQ(cursor, batch.done().end);
  EXPECT_EQ(target.state().counters.applied, 1u);
  ASSERT_EQ(target.state().copied.size(), 1u);
  EXPECT_EQ(*target.state().copied.front().relation, *t);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
}

TEST(DuckdbSink, WhatBecameOfChangesByTableSurvivesReopeningHoweverManyCommitsCountedIt) {
  ::setenv("TAILRACE_BOUND_OUTCOME_ROWS", "5", 1);
  Target target;
  const auto t = items();
  const auto other =
      std::make_shared<Relation>(*table("others", {{"id", 20, -1, 1}, {"n", 1700, ((5 << 16) | 2) + 4}}));
  other->oid = Oid(20000);
  target.copy({{t, {}}, {other, {}}});
  Clock clock;
  for (int round = 0; round < 30; ++round) {
    Batch batch(clock);
    batch.begin().insert(t, {std::to_string(round), "a", "x"});
    if (round % 3 == 0) batch.remove(t, {std::to_string(round), std::nullopt, std::nullopt});
    if (round == 20) batch.insert(other, {"1", "NaN"});
    target.apply(batch);
    if (round % 7 == 0) target.open();
  }
  target.open();
  const sinks::TableOutcomes all = target.sink().take_outcomes();
  EXPECT_EQ(all.at("public.items").of(0, sinks::Outcome::kApplied), 30);
  EXPECT_EQ(all.at("public.items").of(2, sinks::Outcome::kApplied), 10);
  EXPECT_EQ(all.at("public.others").of(0, sinks::Outcome::kDeadLettered), 1);
  EXPECT_EQ(all.size(), 2u);
  EXPECT_EQ(target.sink().counters().received, 41u);
  EXPECT_THAT(target.query("SELECT (count(*) < 30)::VARCHAR FROM tailrace.outcomes"), ElementsAre("true"));
  ::unsetenv("TAILRACE_BOUND_OUTCOME_ROWS");
}

TEST(DuckdbSink, CheckpointsAreLeftToMaintenance) {
  Target target;
  const auto t = items();
  target.copy({{t, {}}});
  const auto log = [&target] { return std::filesystem::file_size(target.path().string() + ".wal"); };
  Clock clock;
  std::uintmax_t before = log();
  for (int round = 0; round < 6; ++round) {
    Batch batch(clock);
    batch.begin();
    for (int row = 0; row < 100; ++row)
      batch.insert(t, {std::to_string(round * 100 + row), "a", std::string(10'000, 'x')});
    target.apply(batch);
    EXPECT_GT(log(), before + 500'000) << "a commit made a checkpoint";
    before = log();
    target.sink().maintain();
    EXPECT_EQ(log(), before) << "a busy target was checkpointed";
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  target.sink().maintain();
  std::error_code gone;
  const auto left = std::filesystem::file_size(target.path().string() + ".wal", gone);
  EXPECT_TRUE(gone || left < 100'000) << left;
  EXPECT_THAT(target.query("SELECT count(*)::VARCHAR FROM public.items"), ElementsAre("600"));
}

TEST(DuckdbSink, WhatWasNotFlushedIsGone) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "x"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(t, {"1", "b", "y"}).insert(t, {"2", "c", "z"});
  target.sink().apply(batch.done());
  target.open();
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
  EXPECT_EQ(target.state().counters.received, 0u);
}

TEST(DuckdbSink, UnchangedValuesComeFromTheBatchOrTheBaseRow) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "BIG1"}, {"2", "b", "BIG2"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(t, {"1", "a1", kUnchanged}).update(t, {"1", "a2", kUnchanged});
  batch.begin().insert(t, {"3", "c", "BIG3"}).update(t, {"3", "c1", kUnchanged});
  batch.begin().update(t, {"2", "b1", "BIG2b"}).update(t, {"2", "b2", kUnchanged});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a2|BIG1", "2|b2|BIG2b", "3|c1|BIG3"));
}

TEST(DuckdbSink, KeySwapCarriesUnchangedValuesAlong) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "BIG1"}, {"2", "b", "BIG2"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin()
      .update_key(t, {"1", std::nullopt, std::nullopt}, {"9", "a", kUnchanged})
      .update_key(t, {"2", std::nullopt, std::nullopt}, {"1", "b", kUnchanged})
      .update_key(t, {"9", std::nullopt, std::nullopt}, {"2", "a", kUnchanged});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|b|BIG2", "2|a|BIG1"));
}

TEST(DuckdbSink, AReusedKeyIsANewRow) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "BIG1"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().remove(t, {"1", std::nullopt, std::nullopt}).insert(t, {"1", "new", "N"});
  batch.begin().update(t, {"1", "newer", kUnchanged});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|newer|N"));
}

TEST(DuckdbSink, TruncateEmptiesTheTableAndLaterRowsStay) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "x"}, {"2", "b", "y"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(t, {"1", "b", "x"}).insert(t, {"3", "c", "z"}).truncate(t).insert(t, {"1", "again", "q"});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|again|q"));
}

TEST(DuckdbSink, AGiantInPartsFindsWhatEarlierPartsWrote) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "BIG1"}}}});
  Clock clock;
  Batch first(clock);
  first.begin(true, false).insert(t, {"2", "b", "BIG2"}).update(t, {"1", "a1", kUnchanged});
  target.sink().apply(first.done());
  Batch second(clock);
  second.begin(false, true).from_ordinal(2).update(t, {"2", "b1", kUnchanged}).update(t, {"1", "a2", kUnchanged});
  target.sink().apply(second.done());
  target.sink().flush();
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a2|BIG1", "2|b1|BIG2"));
}

TEST(DuckdbSink, TransactionsInsideTheFenceAreSkipped) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "x"}}}}, 5000);  // contains transactions below 10
  Clock clock{600, 600};
  Batch batch(clock);
  batch.begin().insert(t, {"1", "old", "x"});  // xid 7
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
  EXPECT_EQ(target.sink().counters().applied, 1u);
}

TEST(DuckdbSink, AChangedColumnHoldsTheTableAndTheOthersGoOn) {
  Target target;
  const auto t = items();
  const auto other = table("other", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 20000);
  target.copy({{t, {{"1", "a", "x"}}}, {other, {}}});
  const auto wider = table("items", {{"id", 20, -1, 1}, {"v"}, {"big"}, {"extra"}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(t, {"1", "b", "x"});
  batch.begin().update(wider, {"1", "c", "x", "e"}).insert(other, {"5"});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|b|x"));
  EXPECT_THAT(target.rows("public.other"), ElementsAre("5"));
  ASSERT_EQ(target.sink().problems().size(), 1u);
  EXPECT_EQ(target.sink().problems().front().code, "TR610");
  EXPECT_EQ(target.sink().counters().held, 1u);
  target.open();
  ASSERT_EQ(target.sink().problems().size(), 1u);
}

TEST(DuckdbSink, AChangedTypeHoldsTheTableAlsoWhereTheTargetsTypeStays) {
  Target target;
  const auto before = table("items", {{"id", 20, -1, 1}, {"v", 1043, 14}});
  const auto after = table("items", {{"id", 20, -1, 1}, {"v", 25}});
  target.copy({{before, {{"1", "a"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(after, {"1", "A"});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a"));
  ASSERT_EQ(target.sink().problems().size(), 1u);
  EXPECT_EQ(target.sink().problems().front().code, "TR610");
  EXPECT_EQ(target.sink().counters().held, 1u);
  target.open();
  EXPECT_THAT(target.state().copied, IsEmpty());
}

TEST(DuckdbSink, ARowThatShouldExistButDoesNotHoldsTheTable) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "x"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update(t, {"1", "b", "x"}).update(t, {"7", "b", "x"});
  EXPECT_THROW(target.sink().apply(batch.done()), RetryError);
  target.open();
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
  ASSERT_EQ(target.sink().problems().size(), 1u);
  EXPECT_EQ(target.sink().problems().front().code, "TR612");
  target.apply(batch);
  EXPECT_EQ(target.sink().counters().held, 2u);
}

/// What becomes of a table with the row 1 after a batch whose second change contradicts its first.
void expect_held(const RelationPtr& t, Batch& contradicting) {
  Target target;
  target.copy({{t, {{"1", "a", "x"}}}});
  EXPECT_THROW(target.sink().apply(contradicting.done()), RetryError);
  target.open();
  const auto problems = target.sink().problems();
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems.front().code, "TR612");
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
}

TEST(DuckdbSink, ABatchThatContradictsItselfHoldsTheTable) {
  const auto t = items();
  Clock clock;
  Batch twice(clock);
  twice.begin().update(t, {"1", "b", "x"}).insert(t, {"1", "c", "x"});
  expect_held(t, twice);
  Batch gone(clock);
  gone.begin().remove(t, {"1", std::nullopt, std::nullopt}).update(t, {"1", "b", "x"});
  expect_held(t, gone);
  Batch truncated(clock);
  truncated.begin().truncate(t).update(t, {"1", "b", "x"});
  expect_held(t, truncated);
}

TEST(DuckdbSink, ARowWhoseValueNobodyKnowsIsIncompleteUntilItIsSent) {
  Target target;
  const auto t = items();
  target.copy({{t, {{"1", "a", "x"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(t, {"2", "b", kUnchanged}).insert(t, {"3", "c", kUnchanged}).insert(t, {"4", "d", kUnchanged});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
  EXPECT_EQ(target.query("SELECT count(*)::VARCHAR FROM tailrace.incomplete").front(), "3");
  ASSERT_EQ(target.sink().problems().size(), 1u);
  EXPECT_EQ(target.sink().problems().front().code, "TR613");
  target.open();
  Batch second(clock);
  second.begin().update(t, {"2", "b1", kUnchanged}).update(t, {"3", "c1", "now"});
  second.remove(t, {"4", std::nullopt, std::nullopt}).insert(t, {"5", "e", "z"});
  target.apply(second);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "3|c1|now", "5|e|z"));
  Batch third(clock);
  third.begin().update(t, {"2", "b2", "here"}).update(t, {"3", "c2", kUnchanged});
  target.apply(third);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "2|b2|here", "3|c2|now", "5|e|z"));
  EXPECT_THAT(target.sink().problems(), IsEmpty());
}

// Commits become visible in another order than they are written: the fence's snapshot misses a transaction that ends
// below the fence's position.
TEST(DuckdbSink, ACommitThatACopyJustMissedEndsCopiedVersionsNotBeforeTheyBegin) {
  DuckdbSpec spec;
  spec.history = {"public.*"};
  Target target(spec);
  const auto keyed = items();
  const auto bag = table("bag", {{"v"}}, ReplicaIdentity::kFull, 20000);
  const auto emptied = table("emptied", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 20001);
  target.copy({{keyed, {{"1", "a", "x"}, {"2", "b", "y"}}}, {bag, {{"p"}, {"p"}}}, {emptied, {{"1"}}}}, 5000);
  Clock clock{1500, 1500};
  Batch batch(clock);
  batch.begin().update(keyed, {"1", "a2", "x"}).remove_full(bag, {"p"}).truncate(emptied);  // xid 16, ends at 1600
  target.apply(batch);
  const std::string periods = "SELECT from_lsn::VARCHAR, to_lsn::VARCHAR, is_current::VARCHAR FROM ";
  EXPECT_THAT(target.query(periods + "public.items__history ORDER BY id, is_current"),
              ElementsAre("1600|1600|false", "1600|∅|true", "5000|∅|true"));
  EXPECT_THAT(target.query(periods + "public.bag__history ORDER BY is_current"),
              ElementsAre("1600|1600|false", "5000|∅|true"));
  EXPECT_THAT(target.query(periods + "public.emptied__history"), ElementsAre("1600|1600|false"));
}

TEST(DuckdbSink, ChangesOfTablesThatNobodyWantsAreFiltered) {
  DuckdbSpec spec;
  spec.wanted = [](std::string_view, std::string_view name) { return name == "items"; };
  Target target(spec);
  const auto t = items();
  const auto other = table("other", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 20000);
  target.copy({{t, {}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(other, {"1"}).insert(t, {"1", "a", "x"}).insert(other, {"2"});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
  EXPECT_EQ(target.sink().counters().received, 3u);
  EXPECT_EQ(target.sink().counters().filtered, 2u);
  EXPECT_THAT(target.sink().problems(), IsEmpty());
}

TEST(DuckdbSink, ATableThatWasLeftOutForAWhileStaysHeld) {
  DuckdbSpec spec;
  bool wanted = true;
  spec.wanted = [&wanted](std::string_view, std::string_view) { return wanted; };
  Target target(spec);
  const auto t = items();
  target.copy({{t, {{"1", "a", "x"}}}});
  Clock clock;
  for (const bool now : {false, true}) {
    wanted = now;
    target.open();
    Batch batch(clock);
    batch.begin().update(t, {"1", now ? "c" : "b", "x"});
    target.apply(batch);
    EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
    ASSERT_EQ(target.sink().problems().size(), 1u);
    EXPECT_EQ(target.sink().problems().front().code, "TR618");
  }
  EXPECT_EQ(target.sink().counters().filtered, 1u);
  EXPECT_EQ(target.sink().counters().held, 1u);
}

TEST(DuckdbSink, AnUnfinishedCopyIsEmptiedBeforeTheNext) {
  Target target;
  const auto t = items();
  target.sink().begin_copy({t});
  auto writer = target.sink().open_copy(t);
  writer->append({t, tuple_bytes({"1", "a", "x"}), 1});
  writer->finish();
  writer.reset();
  target.open();
  EXPECT_THAT(target.state().copied, IsEmpty());
  target.copy({{t, {{"2", "b", "y"}}}});
  EXPECT_THAT(target.rows("public.items"), ElementsAre("2|b|y"));
}

}  // namespace
}  // namespace tailrace::duckdb::test
