#include "sinks/row_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/batch_for_test.h"
#include "sinks/memory_row_target_for_test.h"

namespace tailrace::sinks {
namespace {

using tailrace::test::Batch;
using tailrace::test::Clock;
using tailrace::test::items;
using tailrace::test::Row;
using tailrace::test::table;
using test::MemoryRows;
using test::MemoryRowTarget;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class RowSinkTest : public ::testing::Test {
 protected:
  void open() {
    sink_ = std::make_unique<RowSink>(spec_, std::make_unique<MemoryRowTarget>(rows_));
    state_ = sink_->open();
  }
  /// Copies the tables under a fence at `lsn` that contains transactions below 10.
  void copy(const std::vector<std::pair<RelationPtr, std::vector<Row>>>& tables, std::uint64_t lsn = 1000) {
    std::vector<RelationPtr> relations;
    for (const auto& [relation, rows] : tables) relations.push_back(relation);
    sink_->begin_copy(relations);
    for (const auto& [relation, rows] : tables) {
      CopiedRows copied;
      copied.relation = relation;
      for (const Row& row : rows) copied.tuples += tuple_bytes(row);
      copied.count = rows.size();
      auto writer = sink_->open_copy(relation);
      writer->append(copied);
      writer->finish();
      writer.reset();
      const Fence fence{*SnapshotXids::parse("10:10:"), Lsn(lsn), Batch::at(lsn)};
      sink_->finish_copy({relation, fence, rows.size()});
    }
    sink_->finish_copies({{1, Lsn(lsn), 0}, Seq(lsn), Batch::at(lsn)});
  }
  void start(const RelationPtr& relation = items(), const std::vector<Row>& rows = {}) {
    open();
    copy({{relation, rows}});
  }
  /// As a runner does it.
  void apply(Batch& batch) {
    sink_->apply(batch.done());
    keep_letters();
    sink_->write_out();
    keep_letters();
    sink_->flush();
  }
  void keep_letters() {
    for (DeadLetter& letter : sink_->take_dead_letters()) letters_.push_back(std::move(letter));
  }
  std::vector<std::string> reasons() const {
    std::vector<std::string> out;
    for (const DeadLetter& letter : letters_) out.push_back(letter.operation + ": " + letter.reason);
    return out;
  }
  void expect_counts(std::uint64_t received, std::uint64_t applied, std::uint64_t filtered, std::uint64_t dead,
                     std::uint64_t held) {
    const Counters expected{received, applied, filtered, dead, held};
    EXPECT_EQ(sink_->counters(), expected);
    for (auto& [table, counts] : sink_->take_outcomes()) outcomes_[table] = counts;
    OutcomeCounts sum;
    for (const auto& [table, counts] : outcomes_) sum += counts;
    for (const Outcome outcome : kOutcomes)
      EXPECT_EQ(sum.total(outcome), static_cast<std::int64_t>(count_of(expected, outcome)));
  }
  std::map<std::string, std::string>& items_there() { return rows_.tables["items"]; }

  MemoryRows rows_;
  RowSinkSpec spec_{.pipeline = "p", .source_id = "s", .display = "memory"};
  std::unique_ptr<RowSink> sink_;
  SinkState state_;
  Clock clock_;
  std::vector<DeadLetter> letters_;
  TableOutcomes outcomes_;
};

TEST_F(RowSinkTest, ANewTargetAsksForACopyAndGoesOnFromItsCursor) {
  open();
  EXPECT_FALSE(state_.cursor);
  copy({{items(), {{"1", "a", "b"}}}});
  EXPECT_THAT(items_there(), ElementsAre(Pair("1", "1|a|b")));
  open();
  ASSERT_TRUE(state_.cursor);
  EXPECT_EQ(state_.cursor->position, (Position{1, Lsn(1000), 0}));
  ASSERT_EQ(state_.copied.size(), 1U);
  EXPECT_EQ(state_.copied[0].rows, 1U);
}

TEST_F(RowSinkTest, OnlyTheLastStateOfEachKeyIsWrittenWithTheCursor) {
  start();
  rows_.steps.clear();
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "a", "x"}).update(items(), {"1", "b", "x"}).insert(items(), {"2", "c", "y"});
  batch.begin().remove(items(), {"2", {}, {}}).update_key(items(), {"1", {}, {}}, {"3", "b", "x"});
  apply(batch);
  EXPECT_THAT(items_there(), ElementsAre(Pair("3", "3|b|x")));
  EXPECT_THAT(rows_.steps, ElementsAre("write 3 with state"));
  expect_counts(5, 5, 0, 0, 0);
  open();
  expect_counts(5, 5, 0, 0, 0);
}

TEST_F(RowSinkTest, AKeyThatIsLeftAndTakenAgainInOneBatchEndsRight) {
  start(items(), {{"1", "a", "x"}, {"2", "b", "y"}});
  Batch batch(clock_);
  // 1 → 3, 2 → 1, 3 → 2: the two rows have changed places.
  batch.begin().update_key(items(), {"1", {}, {}}, {"3", "a", "x"}).update_key(items(), {"2", {}, {}}, {"1", "b", "y"});
  batch.update_key(items(), {"3", {}, {}}, {"2", "a", "x"});
  apply(batch);
  EXPECT_THAT(items_there(), ElementsAre(Pair("1", "1|b|y"), Pair("2", "2|a|x")));
}

TEST_F(RowSinkTest, WhatTheCopyContainsIsNotWrittenAgain) {
  start(items(), {{"1", "a", "x"}});
  Batch batch(clock_);
  clock_.lsn = 800;  // transaction 9, which the copy's snapshot contains
  batch.begin().insert(items(), {"1", "old", "x"});
  clock_.lsn = 1000;
  batch.begin().insert(items(), {"2", "b", "x"});
  apply(batch);
  EXPECT_THAT(items_there(), ElementsAre(Pair("1", "1|a|x"), Pair("2", "2|b|x")));
  expect_counts(2, 2, 0, 0, 0);
}

TEST_F(RowSinkTest, ValuesThatWereNotSentComeFromTheOldRowOrTheBatch) {
  const RelationPtr full = table("items", {{"id", 20, -1, 1}, {"v"}, {"big"}}, ReplicaIdentity::kFull);
  start(full);
  Batch batch(clock_);
  batch.begin().insert(full, {"1", "a", "long"}).update_full(full, {"1", "a", "long"}, {"1", "b", kUnchanged});
  batch.begin().insert(full, {"2", "a", "other"}).update(full, {"2", "c", kUnchanged});
  apply(batch);
  EXPECT_THAT(items_there(), ElementsAre(Pair("1", "1|b|long"), Pair("2", "2|c|other")));
}

TEST_F(RowSinkTest, ARowThatMovesTakesWhatWasNotSentAlong) {
  start();
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "a", "long"}).update_key(items(), {"1", {}, {}}, {"2", "b", kUnchanged});
  apply(batch);
  EXPECT_THAT(items_there(), ElementsAre(Pair("2", "2|b|long")));
}

TEST_F(RowSinkTest, AValueThatNobodyHasIsReadFromTheSource) {
  start(items(), {{"1", "a", "long"}});
  Batch batch(clock_);
  batch.begin().update(items(), {"1", "b", kUnchanged});
  apply(batch);
  EXPECT_EQ(sink_->incomplete_rows(), 1U);
  EXPECT_EQ(sink_->problems().front().code, "TR804");
  open();  // remembered
  const auto incomplete = sink_->incomplete();
  ASSERT_TRUE(incomplete);
  EXPECT_THAT(incomplete->keys, ElementsAre(tuple_bytes({"1"})));
  FencedRows read;
  read.rows.relation = items();
  read.rows.tuples = tuple_bytes({"1", "b", "long"});
  read.fence = {*SnapshotXids::parse("5:5:"), Lsn(5000), Batch::at(5000)};
  EXPECT_EQ(sink_->complete(read), 0U) << "the read is older than the change";
  read.fence.snapshot = *SnapshotXids::parse("50:50:");
  EXPECT_EQ(sink_->complete(read), 1U);
  sink_->write_out();
  sink_->flush();
  EXPECT_THAT(items_there(), ElementsAre(Pair("1", "1|b|long")));
  EXPECT_EQ(sink_->incomplete_rows(), 0U);
  open();
  EXPECT_EQ(sink_->incomplete_rows(), 0U);
}

TEST_F(RowSinkTest, ATargetThatLeavesValuesAloneGetsThemAsUnchanged) {
  rows_.traits.takes_unchanged = true;
  start(items(), {{"1", "a", "long"}});
  Batch batch(clock_);
  batch.begin().update(items(), {"1", "b", kUnchanged});
  apply(batch);
  EXPECT_THAT(items_there(), ElementsAre(Pair("1", "1|b|?")));
  EXPECT_EQ(sink_->incomplete_rows(), 0U);
}

TEST_F(RowSinkTest, ARowThatTheTargetCannotHoldIsALetterAndSoIsWhatFollowsIt) {
  start();
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "never", "x"}).insert(items(), {"2", "a", "x"});
  apply(batch);
  Batch next(clock_);
  next.begin()
      .update(items(), {"1", "b", "x"})
      .update_key(items(), {"1", {}, {}}, {"7", "b", "x"})
      .update(items(), {"7", "c", "x"});
  apply(next);
  EXPECT_THAT(items_there(), ElementsAre(Pair("2", "2|a|x")));
  EXPECT_THAT(reasons(),
              ElementsAre("insert: not for this target", "update: an earlier change of this row is a dead letter",
                          "update: an earlier change of this row is a dead letter",
                          "update: an earlier change of this row is a dead letter"));
  expect_counts(5, 1, 0, 4, 0);
  open();
  EXPECT_EQ(sink_->problems().front().code, "TR803");
}

TEST_F(RowSinkTest, RowsThatBreakARuleAreLettersInCopyAndStreamAndDeletesAreNotJudged) {
  spec_.rules = std::make_shared<const rules::RowRules>(
      std::vector<rules::TableRules>{{.tables = "items", .choices = {{.column = "v", .values = {"a", "b"}}}}}, nullptr);
  start(items(), {{"1", "a", "x"}, {"2", "wrong", "x"}});
  keep_letters();
  Batch batch(clock_);
  batch.begin()
      .insert(items(), {"3", "b", "x"})
      .update(items(), {"3", "wrong", "x"})
      .update(items(), {"2", "a", "x"})
      .remove(items(), {"1", {}, {}});
  apply(batch);
  EXPECT_THAT(items_there(), ElementsAre(Pair("3", "3|b|x")));
  EXPECT_THAT(reasons(), ElementsAre("copy: validation: `in` of `v`", "update: validation: `in` of `v`",
                                     "update: an earlier change of this row is a dead letter"));
  expect_counts(4, 2, 0, 2, 0);
}

TEST_F(RowSinkTest, RowsThatTheServerRefusesAreFoundAndTheOthersLand) {
  start();
  Batch batch(clock_);
  batch.begin();
  for (int n = 1; n <= 20; ++n) batch.insert(items(), {std::to_string(n), n % 9 == 0 ? "server" : "fine", "x"});
  apply(batch);
  EXPECT_EQ(items_there().size(), 18U);
  EXPECT_THAT(reasons(), ElementsAre("insert: a row is refused", "insert: a row is refused"));
  EXPECT_EQ(letters_[0].position.ordinal, 8U);
  expect_counts(20, 18, 0, 2, 0);
  Batch next(clock_);
  next.begin().update(items(), {"9", "fine now", "x"});
  apply(next);
  expect_counts(21, 18, 0, 3, 0);
}

TEST_F(RowSinkTest, LettersOfRefusedRowsAreThereBeforeTheCursorPassesThem) {
  start();
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "server", "x"}).insert(items(), {"2", "fine", "x"});
  sink_->apply(batch.done());
  sink_->write_out();
  EXPECT_EQ(items_there().size(), 1U);
  EXPECT_THROW(sink_->flush(), DefectError) << "nobody has taken the letters";
  open();
  EXPECT_EQ(state_.cursor->position.commit_end, Lsn(1000));
}

TEST_F(RowSinkTest, ATargetThatRefusesEverythingIsNotBelieved) {
  start();
  Batch batch(clock_);
  batch.begin();
  for (int n = 1; n <= 500; ++n) batch.insert(items(), {std::to_string(n), "server", "x"});
  sink_->apply(batch.done());
  EXPECT_THROW(sink_->write_out(), RetryError);
  open();
  EXPECT_THAT(sink_->take_dead_letters(), IsEmpty());
  expect_counts(0, 0, 0, 0, 0);
}

TEST_F(RowSinkTest, RowsThatTheServerNamesAreLettersAndNoOtherIsWrittenTwice) {
  rows_.traits.style = RowStyle::kEvents;
  rows_.names_refused = true;
  start();
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "a", "x"}).insert(items(), {"2", "server", "x"}).insert(items(), {"3", "a", "x"});
  batch.update_key(items(), {"2", {}, {}}, {"4", "b", "x"}).update(items(), {"4", "c", "x"});
  apply(batch);
  EXPECT_THAT(rows_.events, ElementsAre("insert 1100 - 1|a|x", "insert 1102 - 3|a|x"));
  EXPECT_THAT(reasons(),
              ElementsAre("insert: this one: 2|server|x", "update: an earlier change of this row is a dead letter",
                          "update: an earlier change of this row is a dead letter"));
  expect_counts(5, 2, 0, 3, 0);
}

TEST_F(RowSinkTest, RefusalsThatComeFewAtATimeAddUp) {
  rows_.traits.style = RowStyle::kEvents;
  rows_.names_refused = true;
  start();
  int n = 0;
  const auto refuse_ten = [&] {
    Batch batch(clock_);
    batch.begin();
    for (int more = 0; more < 10; ++more) batch.insert(items(), {std::to_string(++n), "server", "x"});
    apply(batch);
  };
  for (int times = 0; times < 4; ++times) refuse_ten();
  EXPECT_THROW(refuse_ten(), RetryError);
  EXPECT_EQ(letters_.size(), 40U);
  open();
  Batch batch(clock_);
  batch.begin().insert(items(), {"900", "a", "x"}).insert(items(), {"901", "server", "x"});
  apply(batch);
  EXPECT_EQ(letters_.size(), 41U) << "one that is taken shows that it is the rows";
}

TEST_F(RowSinkTest, ATruncateTakesRowsLettersAndLackingValuesAlong) {
  start(items(), {{"1", "a", "x"}});
  Batch batch(clock_);
  batch.begin().insert(items(), {"2", "never", "x"}).update(items(), {"1", "b", kUnchanged});
  batch.begin().truncate(items()).insert(items(), {"2", "fine", "y"});
  apply(batch);
  EXPECT_THAT(items_there(), ElementsAre(Pair("2", "2|fine|y")));
  EXPECT_EQ(sink_->incomplete_rows(), 0U);
  EXPECT_THAT(sink_->problems(), IsEmpty());
  open();
  EXPECT_THAT(sink_->problems(), IsEmpty());
}

TEST_F(RowSinkTest, AWriteWhoseAnswerIsLostIsNotDoubled) {
  start();
  rows_.fate = [](const std::string& step) {
    if (step == "written") throw RetryError("TR899", "the answer is lost", "none");
  };
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "a", "x"});
  sink_->apply(batch.done());
  EXPECT_THROW(sink_->write_out(), RetryError);
  rows_.fate = [](const std::string&) {};
  open();
  ASSERT_TRUE(state_.cursor);
  EXPECT_EQ(state_.cursor->position.commit_end, Lsn(1100)) << "the runner goes on behind it";
  expect_counts(1, 1, 0, 0, 0);
}

TEST_F(RowSinkTest, ATransactionLargerThanItsBoundIsWrittenInPartsAndTheCursorLast) {
  rows_.traits.unit_changes = 10;
  start();
  rows_.steps.clear();
  Batch batch(clock_);
  batch.begin();
  for (int n = 1; n <= 25; ++n) batch.insert(items(), {std::to_string(n), "a", "x"});
  apply(batch);
  EXPECT_THAT(rows_.steps, ElementsAre("write 10", "write 10", "write 5 with state"));
}

TEST_F(RowSinkTest, ANewTableIsCopiedBeforeAnythingElseGoesOn) {
  start();
  const RelationPtr late = table("late", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 999);
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "a", "x"}).insert(late, {"5"});
  EXPECT_THROW(sink_->apply(batch.done()), RetryError);
  open();
  EXPECT_FALSE(state_.cursor);
  ASSERT_TRUE(state_.resume);
  EXPECT_EQ(state_.resume->position.commit_end, Lsn(1000));
  EXPECT_EQ(state_.copied.size(), 1U) << "items stay";
  sink_->begin_copy({late});
  sink_->finish_copy({late, {*SnapshotXids::parse("100:100:"), Lsn(3000), Batch::at(3000)}, 0});
  sink_->finish_copies(*state_.resume);
  apply(batch);
  EXPECT_THAT(items_there(), ElementsAre(Pair("1", "1|a|x")));
  EXPECT_THAT(rows_.tables["late"], IsEmpty()) << "the copy contains it";
}

TEST_F(RowSinkTest, BehindAGapEveryTableIsCopiedAnewBeforeAnythingElseGoesOn) {
  start(items(), {{"1", "a", "b"}});
  sink_->begin_epoch({{2, Lsn(2000), 0}, Seq(1001), Batch::at(1000)});
  EXPECT_EQ(sink_->flush().position, (Position{2, Lsn(2000), 0}));
  open();
  EXPECT_FALSE(state_.cursor);
  ASSERT_TRUE(state_.resume);
  EXPECT_EQ(state_.resume->position, (Position{2, Lsn(2000), 0}));
  EXPECT_THAT(state_.copied, IsEmpty());
}

TEST_F(RowSinkTest, AnAddedColumnAltersTheTargetBehindTheRowsBeforeIt) {
  auto narrow = std::make_shared<Relation>(*items());
  narrow->attributes = 3;
  narrow->storage = 7;
  auto wider = std::make_shared<Relation>(*narrow);
  wider->attributes = 4;
  wider->columns.push_back(wider->columns.back());
  wider->columns.back().name = "more";
  wider->columns.back().attnum = 4;
  start(narrow);
  rows_.steps.clear();
  Batch batch(clock_);
  batch.begin().insert(narrow, {"1", "a", "x"}).insert(wider, {"2", "b", "y", "z"});
  apply(batch);
  EXPECT_THAT(rows_.steps, ElementsAre("write 1", "alter items 4", "write 1 with state"));
  EXPECT_THAT(items_there(), ElementsAre(Pair("1", "1|a|x"), Pair("2", "2|b|y|z")));
}

TEST_F(RowSinkTest, WhatIsGatheredOverBatchesOutlivesThem) {
  auto narrow = std::make_shared<Relation>(*items());
  narrow->attributes = 3;
  narrow->storage = 7;
  auto wider = std::make_shared<Relation>(*narrow);
  wider->attributes = 4;
  wider->columns.push_back(wider->columns.back());
  wider->columns.back().name = "more";
  wider->columns.back().attnum = 4;
  start(narrow);
  {
    Batch batch(clock_);
    batch.begin().insert(narrow, {"1", "a", "x"}).insert(wider, {"2", "b", "y", "z"});
    sink_->apply(batch.done());
  }
  Batch batch(clock_);
  batch.begin().insert(wider, {"3", "c", "y", "z"});
  apply(batch);
  EXPECT_THAT(items_there(), ElementsAre(Pair("1", "1|a|x"), Pair("2", "2|b|y|z"), Pair("3", "3|c|y|z")));
}

TEST_F(RowSinkTest, ATableThatTheTargetCannotFollowIsCopiedAnew) {
  start();
  rows_.alter_obstacle = "its columns cannot change";
  auto wider = std::make_shared<Relation>(*items());
  wider->columns.push_back(wider->columns.back());
  wider->columns.back().name = "more";
  wider->columns.back().attnum = 4;
  Batch batch(clock_);
  batch.begin().insert(wider, {"2", "b", "y", "z"});
  EXPECT_THROW(sink_->apply(batch.done()), RetryError);
  open();
  EXPECT_TRUE(state_.resume);
  EXPECT_THAT(state_.copied, IsEmpty());
}

TEST_F(RowSinkTest, ATableThatTheTargetCannotHaveIsHeldAndTheOthersGoOn) {
  open();
  rows_.obstacle = "it has no key";
  sink_->begin_copy({items()});
  rows_.obstacle.clear();
  const RelationPtr other = table("other", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 999);
  copy({{other, {}}});
  rows_.obstacle = "it has no key";
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "a", "x"}).insert(other, {"5"});
  apply(batch);
  expect_counts(2, 1, 0, 0, 1);
  EXPECT_EQ(sink_->problems().front().code, "TR802");
}

TEST_F(RowSinkTest, WhatNobodyWantsIsFiltered) {
  spec_.wanted = [](std::string_view, std::string_view name) { return name == "items"; };
  start();
  const RelationPtr other = table("other", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 999);
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "a", "x"}).insert(other, {"5"});
  apply(batch);
  expect_counts(2, 1, 1, 0, 0);
}

TEST_F(RowSinkTest, ATargetOfAnotherPipelineIsRefused) {
  start();
  spec_.pipeline = "q";
  EXPECT_THROW(open(), RefusedError);
}

TEST_F(RowSinkTest, AStateThatNobodyCanReadIsNamed) {
  start();
  rows_.state["table:16384"] = "\x01";
  EXPECT_THROW(open(), CorruptionError);
}

TEST_F(RowSinkTest, EventsComeEachInItsPlace) {
  rows_.traits.style = RowStyle::kEvents;
  start(items(), {{"1", "a", "x"}});
  Batch batch(clock_);
  batch.begin().insert(items(), {"2", "a", "x"}).update(items(), {"2", "b", kUnchanged}).remove(items(), {"1", {}, {}});
  batch.begin().truncate(items());
  apply(batch);
  EXPECT_THAT(rows_.events, ElementsAre("copied 0 - 1|a|x", "insert 1100 - 2|a|x", "update 1101 - 2|b|?",
                                        "delete 1102 1|∅|∅ -", "truncate 1200 - -"));
  expect_counts(4, 4, 0, 0, 0);
}

TEST_F(RowSinkTest, EventsBehindAGapAreRefusedAndNothingIsWritten) {
  rows_.traits.style = RowStyle::kEvents;
  start();
  rows_.steps.clear();
  try {
    sink_->begin_epoch({{2, Lsn(2000), 0}, Seq(1001), Batch::at(1000)});
    ADD_FAILURE() << "it goes on";
  } catch (const RefusedError& error) {
    EXPECT_EQ(error.code(), "TR808");
  }
  EXPECT_THAT(rows_.steps, IsEmpty());
  open();
  EXPECT_EQ(state_.cursor->position, (Position{1, Lsn(1000), 0}));
}

}  // namespace
}  // namespace tailrace::sinks
