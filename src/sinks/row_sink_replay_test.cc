#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "base/error_code_for_test.h"
#include "model/batch_for_test.h"
#include "sinks/letter_replay.h"
#include "sinks/memory_row_target_for_test.h"
#include "sinks/row_sink.h"

namespace tailrace::sinks {
namespace {

using tailrace::test::Batch;
using tailrace::test::Clock;
using tailrace::test::items;
using test::MemoryRows;
using test::MemoryRowTarget;
using ::testing::ElementsAre;
using ::testing::Pair;

/// A target of state whose table is copied, and empty.
class RowSinkReplayTest : public ::testing::Test {
 protected:
  RowSinkReplayTest() {
    open();
    copy(items());
  }
  void copy(const RelationPtr& relation) {
    sink_->begin_copy({relation});
    sink_->finish_copy({relation, {*SnapshotXids::parse("10:10:"), Lsn(1000), Batch::at(1000)}, 0});
    sink_->finish_copies({{1, Lsn(1000), 0}, Seq(1000), Batch::at(1000)});
  }
  void open() {
    sink_ = std::make_unique<RowSink>(spec_, std::make_unique<MemoryRowTarget>(rows_));
    sink_->open();
  }
  /// Gives the letters.
  std::vector<DeadLetter> apply(Batch& batch) {
    sink_->apply(batch.done());
    std::vector<DeadLetter> letters = sink_->take_dead_letters();
    sink_->write_out();
    for (DeadLetter& letter : sink_->take_dead_letters()) letters.push_back(std::move(letter));
    sink_->flush();
    return letters;
  }
  std::string refusal(const LetterReplay& replay) {
    std::string code = code_of([&] { sink_->replay(replay); });
    open();
    return code;
  }
  void expect_counts(std::uint64_t applied, std::uint64_t dead) {
    EXPECT_EQ(sink_->counters(), (Counters{applied + dead, applied, 0, dead, 0}));
  }

  MemoryRows rows_;
  RowSinkSpec spec_{.pipeline = "p", .source_id = "s", .display = "memory"};
  std::unique_ptr<RowSink> sink_;
  Clock clock_;
};

TEST_F(RowSinkReplayTest, LettersAreAppliedTogetherInTheirPlacesAndTheirRowIsOpenAgain) {
  Batch batch(clock_);
  batch.begin().insert(items(), {"2", "never", "x"}).update(items(), {"2", "b", "y"});
  batch.update_key(items(), {"2", {}, {}}, {"3", "b", "z"});
  LetterReplay replay;
  for (DeadLetter& letter : apply(batch)) replay.letters.push_back({std::move(letter)});
  ASSERT_EQ(replay.letters.size(), 3U);
  EXPECT_EQ(refusal(replay), "TR226");
  replay.letters.front().edits = {{items()->columns[1].name, "set"}};
  replay.rehearsal = true;
  EXPECT_EQ(refusal(replay), "none");
  EXPECT_TRUE(rows_.tables["items"].empty());
  expect_counts(0, 3);
  replay.rehearsal = false;
  sink_->replay(replay);
  sink_->flush();
  open();
  EXPECT_THAT(rows_.tables["items"], ElementsAre(Pair("3", "3|b|z")));
  expect_counts(3, 0);
  EXPECT_EQ(refusal(replay), "TR225");
  Batch later(clock_);
  later.begin().update(items(), {"3", "c", "z"});
  EXPECT_TRUE(apply(later).empty());
  EXPECT_THAT(rows_.tables["items"], ElementsAre(Pair("3", "3|c|z")));
}

LetterReplay replay_of(const DeadLetter& letter, const std::string& value) {
  return {.letters = {{letter, {{items()->columns[1].name, value}}}}};
}

/// Later changes of a row with a letter are applied.
class RowSinkApplyTest : public RowSinkReplayTest {
 protected:
  RowSinkApplyTest() {
    spec_.apply_later = true;
    open();
  }
};

TEST_F(RowSinkApplyTest, ChangesBehindALetterAreAppliedAndTheLetterNeverOverwritesThem) {
  Batch batch(clock_);
  batch.begin().insert(items(), {"2", "never", "x"}).update(items(), {"2", "b", "y"});
  batch.begin().insert(items(), {"3", "never", "x"});
  const auto letters = apply(batch);
  ASSERT_EQ(letters.size(), 2U);
  expect_counts(1, 2);
  open();
  EXPECT_THAT(rows_.tables["items"], ElementsAre(Pair("2", "2|b|y")));
  EXPECT_EQ(refusal(replay_of(letters[0], "set")), "TR650");
  sink_->replay(replay_of(letters[1], "set"));
  sink_->flush();
  Batch later(clock_);
  later.begin().update(items(), {"2", "never", "z"});
  const auto newer = apply(later);
  ASSERT_EQ(newer.size(), 1U);
  open();
  EXPECT_EQ(refusal({.letters = {{letters[0]}, {newer[0]}}}), "TR650");
  sink_->replay(replay_of(newer[0], "set"));
  sink_->flush();
  EXPECT_THAT(rows_.tables["items"], ElementsAre(Pair("2", "2|set|z"), Pair("3", "3|set|x")));
  EXPECT_EQ(refusal(replay_of(letters[0], "set")), "TR225");
  expect_counts(3, 1);
}

TEST_F(RowSinkApplyTest, ARowThatMovesLeavesItsFormerKeyThoughItsNewOneIsRefused) {
  Batch before(clock_);
  before.begin().insert(items(), {"5", "a", "x"});
  apply(before);
  for (const char* refused : {"never", "server"}) {
    Batch move(clock_);
    move.begin().update_key(items(), {"5", {}, {}}, {"6", refused, "x"});
    const auto letters = apply(move);
    ASSERT_EQ(letters.size(), 1U);
    EXPECT_TRUE(rows_.tables["items"].empty());
    sink_->replay(replay_of(letters[0], "set"));
    sink_->flush();
    EXPECT_THAT(rows_.tables["items"], ElementsAre(Pair("6", "6|set|x")));
    Batch back(clock_);
    back.begin().update_key(items(), {"6", {}, {}}, {"5", "b", "x"});
    apply(back);
  }
}

TEST_F(RowSinkApplyTest, AKeyThatIsUsedAgainInTheSameUnitIsNewerThanTheLetterOfTheRowThatLeftIt) {
  Batch before(clock_);
  before.begin().insert(items(), {"5", "a", "x"});
  apply(before);
  Batch batch(clock_);
  batch.begin().update_key(items(), {"5", {}, {}}, {"6", "server", "x"}).insert(items(), {"5", "c", "x"});
  const auto letters = apply(batch);
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_THAT(rows_.tables["items"], ElementsAre(Pair("5", "5|c|x")));
  EXPECT_EQ(refusal(replay_of(letters[0], "set")), "TR650");
}

TEST_F(RowSinkReplayTest, ALetterOfAnEventWithoutKeyIsReplayedOnce) {
  rows_.traits.style = RowStyle::kEvents;
  open();
  const auto keyless = tailrace::test::table("items", {{"id", 20}, {"v"}, {"big"}}, ReplicaIdentity::kFull);
  copy(keyless);
  Batch batch(clock_);
  batch.begin().insert(keyless, {"1", "never", "x"}).insert(keyless, {"1", "b", "x"});
  const auto letters = apply(batch);
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_EQ(rows_.events.size(), 1U);
  sink_->replay(replay_of(letters[0], "set"));
  sink_->flush();
  ASSERT_EQ(rows_.events.size(), 2U);
  EXPECT_NE(rows_.events.back().find("1|set|x"), std::string::npos);
  open();
  EXPECT_EQ(refusal(replay_of(letters[0], "set")), "TR225");
}

}  // namespace
}  // namespace tailrace::sinks
