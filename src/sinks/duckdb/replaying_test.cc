#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>

#include "base/error_code_for_test.h"
#include "sinks/duckdb/test_target.h"
#include "sinks/letter_replay.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;

RelationPtr measures(const std::vector<ColumnSpec>& more = {}) {
  std::vector<ColumnSpec> columns = {{"id", 20, -1, 1}, {"n", 1700, ((5 << 16) | 2) + 4}};
  columns.insert(columns.end(), more.begin(), more.end());
  auto relation = std::make_shared<Relation>(*table("t", columns));
  relation->attributes = static_cast<std::int16_t>(columns.size());
  relation->storage = 7;
  return relation;
}

sinks::LetterReplay replay_of(const std::vector<sinks::DeadLetter>& letters) {
  sinks::LetterReplay replay;
  for (const sinks::DeadLetter& letter : letters) replay.letters.push_back({letter});
  return replay;
}

TEST(Replaying, LettersTakeTheirPlacesInMirrorAndHistory) {
  DuckdbSpec spec;
  spec.history = {"*"};
  Target target(spec);
  const auto t = measures();
  target.copy({{t, {{"1", "NaN"}, {"2", "2.00"}}}});
  const auto copied = target.sink().take_dead_letters();
  Clock clock;
  Batch batch(clock);
  batch.begin().update(t, {"2", "NaN"});
  batch.begin().update(t, {"2", "3.00"});
  target.apply(batch);
  auto replay = replay_of(target.sink().take_dead_letters());
  ASSERT_EQ(replay.letters.size(), 2u);
  EXPECT_EQ(code_of([&] { target.sink().replay(replay); }), "TR226");
  target.open();
  replay.letters[0].edits = {{"n", "2.50"}};
  target.sink().replay(replay);
  target.sink().flush();
  auto of_copy = replay_of(copied);
  of_copy.letters[0].edits = {{"n", std::nullopt}};
  target.sink().replay(of_copy);
  target.sink().flush();
  EXPECT_THAT(target.rows("public.t"), ElementsAre("1|∅", "2|3.00"));
  EXPECT_THAT(
      target.query("SELECT n::VARCHAR, is_current::VARCHAR FROM public.t__history WHERE id = 2 ORDER BY from_seq"),
      ElementsAre("2.00|false", "2.50|false", "3.00|true"));
  EXPECT_EQ(target.sink().counters().applied, 2u);
  EXPECT_EQ(target.sink().counters().dead_lettered, 0u);
  target.open();
  EXPECT_TRUE(target.sink().problems().empty());
  EXPECT_EQ(code_of([&] { target.sink().replay(replay); }), "TR225");
}

TEST(Replaying, LettersOfAnEarlierVersionAreWrittenInTheFormOfTheTable) {
  Target target;
  const auto t = measures();
  target.copy({{t, {}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(t, {"1", "NaN"});
  target.apply(batch);
  auto replay = replay_of(target.sink().take_dead_letters());
  const auto wider = measures({{"v", 25}});
  Batch later(clock);
  later.begin().insert(wider, {"2", "2.00", "b"});
  target.apply(later);
  replay.letters[0].edits = {{"n", "1.00"}, {"v", "a"}};
  target.sink().replay(replay);
  target.sink().flush();
  EXPECT_THAT(target.rows("public.t"), ElementsAre("1|1.00|a", "2|2.00|b"));
}

TEST(Replaying, LettersOfATableWithoutKeyAreRefused) {
  Target target;
  const auto t = table("t", {{"n", 1700, ((5 << 16) | 2) + 4}}, ReplicaIdentity::kFull);
  target.copy({{t, {}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(t, {"NaN"});
  target.apply(batch);
  const auto replay = replay_of(target.sink().take_dead_letters());
  EXPECT_EQ(code_of([&] { target.sink().replay(replay); }), "TR227");
}

TEST(Replaying, WhatDoesNotFitTheTargetIsRefusedAndChangesNothing) {
  Target target;
  const auto t = measures();
  target.copy({{t, {}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(t, {"1", "NaN"}).update(t, {"1", "1.00"});
  target.apply(batch);
  const auto letters = target.sink().take_dead_letters();
  // The first was dropped.
  EXPECT_EQ(code_of([&] { target.sink().replay(replay_of({letters[1]})); }), "TR227");
  target.open();
  auto replay = replay_of(letters);
  replay.letters[0].edits = {{"id", "5"}};
  EXPECT_EQ(code_of([&] { target.sink().replay(replay); }), "TR228");
  target.open();
  Batch newer(clock);
  newer.begin().truncate(t).insert(t, {"1", "9.00"});
  target.apply(newer);
  replay.letters[0].edits = {{"n", "5"}};
  EXPECT_EQ(code_of([&] { target.sink().replay(replay); }), "TR225");
  target.open();
  EXPECT_THAT(target.rows("public.t"), ElementsAre("1|9.00"));
  EXPECT_TRUE(target.sink().problems().empty());
}

class Applying : public ::testing::TestWithParam<bool> {};

TEST_P(Applying, ChangesBehindALetterAreAppliedHoweverTheyComeAndLettersNeverOverwriteThem) {
  DuckdbSpec spec;
  spec.history = {"*"};
  spec.apply_later = true;
  Target target(spec);
  const auto t = measures();
  target.copy({{t, {{"1", "1.00"}, {"2", "2.00"}}}});
  Clock clock;
  std::vector<sinks::DeadLetter> letters;
  const auto take = [&](Batch& batch) {
    target.apply(batch);
    for (auto& letter : target.sink().take_dead_letters()) letters.push_back(std::move(letter));
  };
  const std::vector<std::function<void(Batch&)>> changes = {
      [&](Batch& b) { b.begin().update(t, {"1", "NaN"}); },
      [&](Batch& b) { b.begin().update(t, {"1", "5.00"}); },
      [&](Batch& b) { b.begin().insert(t, {"3", "NaN"}).update(t, {"3", "3.00"}); },
      [&](Batch& b) { b.begin().insert(t, {"4", "NaN"}); },
      [&](Batch& b) { b.begin().remove(t, {"4", std::nullopt}); },
      [&](Batch& b) { b.begin().update_key(t, {"2", std::nullopt}, {"9", "NaN"}); },
      [&](Batch& b) { b.begin().insert(t, {"2", "7.00"}); },
      [&](Batch& b) { b.begin().update(t, {"1", "6.00"}); },
  };
  std::optional<Batch> all;
  for (const auto& change : changes) {
    if (GetParam()) all.reset();
    if (!all) all.emplace(clock);
    change(*all);
    if (GetParam()) take(*all);
  }
  if (!GetParam()) take(*all);
  ASSERT_EQ(letters.size(), 4u);
  target.open();
  EXPECT_THAT(target.rows("public.t"), ElementsAre("1|6.00", "2|7.00", "3|3.00"));
  EXPECT_THAT(target.query("SELECT id::VARCHAR, n::VARCHAR FROM public.t__history WHERE is_current ORDER BY id"),
              ElementsAre("1|6.00", "2|7.00", "3|3.00"));
  EXPECT_THAT(target.query("SELECT n::VARCHAR FROM public.t__history WHERE id = 1 ORDER BY from_seq"),
              ElementsAre("1.00", "5.00", "6.00"));
  for (const auto& letter : letters) {
    EXPECT_EQ(code_of([&] { target.sink().replay(replay_of({letter})); }), "TR650");
    target.open();
  }
  letters.clear();
  Batch newer(clock);
  newer.begin().update(t, {"3", "NaN"});
  newer.begin().insert(t, {"8", "NaN"});
  take(newer);
  target.open();
  for (const auto& letter : letters) {
    auto replay = replay_of({letter});
    replay.letters[0].edits = {{"n", "3.50"}};
    target.sink().replay(replay);
    target.sink().flush();
  }
  target.open();
  EXPECT_THAT(target.rows("public.t"), ElementsAre("1|6.00", "2|7.00", "3|3.50", "8|3.50"));
  EXPECT_EQ(target.sink().counters().dead_lettered, 4u);
  Batch last(clock);
  last.begin().update(t, {"8", "9.00"}).remove(t, {"1", std::nullopt});
  take(last);
  EXPECT_THAT(target.rows("public.t"), ElementsAre("2|7.00", "3|3.50", "8|9.00"));
}

INSTANTIATE_TEST_SUITE_P(OneByOneAndTogether, Applying, ::testing::Bool());

}  // namespace
}  // namespace tailrace::duckdb::test
