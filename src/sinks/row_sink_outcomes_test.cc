#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <utility>

#include "model/batch_for_test.h"
#include "sinks/memory_row_target_for_test.h"
#include "sinks/row_sink.h"
#include "sinks/row_state.h"

// What became of changes, by table and kind.
namespace tailrace::sinks {
namespace {

using tailrace::test::Batch;
using tailrace::test::Clock;
using tailrace::test::items;
using tailrace::test::table;
using test::MemoryRows;
using test::MemoryRowTarget;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

/// A target of state whose table is copied, and empty.
class RowSinkOutcomesTest : public ::testing::Test {
 protected:
  void open() {
    sink_ = std::make_unique<RowSink>(spec_, std::make_unique<MemoryRowTarget>(rows_));
    sink_->open();
  }
  void start() {
    open();
    sink_->begin_copy({items()});
    sink_->finish_copy({items(), {*SnapshotXids::parse("10:10:"), Lsn(1000), Batch::at(1000)}, 0});
    sink_->finish_copies({{1, Lsn(1000), 0}, Seq(1000), Batch::at(1000)});
  }
  void apply(Batch& batch) {
    sink_->apply(batch.done());
    sink_->take_dead_letters();
    sink_->write_out();
    sink_->take_dead_letters();
    sink_->flush();
  }
  TableOutcomes outcomes() {
    for (auto& [name, counts] : sink_->take_outcomes()) outcomes_[name] = counts;
    return outcomes_;
  }

  MemoryRows rows_;
  RowSinkSpec spec_{.pipeline = "p", .source_id = "s", .display = "memory"};
  std::unique_ptr<RowSink> sink_;
  Clock clock_;
  TableOutcomes outcomes_;
};

TEST_F(RowSinkOutcomesTest, WhatBecameOfChangesIsKeptByTableAndKindWithTheCursor) {
  const auto other = table("left_out", {{"id", 20, -1, 1}});
  spec_.wanted = [](std::string_view, std::string_view name) { return name != "left_out"; };
  start();
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "a", "x"}).insert(items(), {"2", "server", "x"}).insert(other, {"1"});
  apply(batch);
  Batch next(clock_);
  next.begin().update(items(), {"1", "never", "x"}).remove(items(), {"1", std::nullopt, std::nullopt});
  apply(next);
  EXPECT_EQ(sink_->counters(), (Counters{5, 1, 1, 3, 0}));
  EXPECT_THAT(rows_.tables["items"], ElementsAre(Pair("1", "1|a|x")));
  const TableOutcomes before = outcomes();
  EXPECT_EQ(before.at("public.items").of(0, Outcome::kApplied), 1);
  EXPECT_EQ(before.at("public.items").of(0, Outcome::kDeadLettered), 1);
  EXPECT_EQ(before.at("public.items").of(1, Outcome::kDeadLettered), 1);
  EXPECT_EQ(before.at("public.items").of(2, Outcome::kDeadLettered), 1);
  EXPECT_EQ(before.at("public.left_out").of(0, Outcome::kFiltered), 1);
  open();
  EXPECT_EQ(sink_->take_outcomes(), before);
  EXPECT_THAT(sink_->take_outcomes(), IsEmpty());
}

TEST_F(RowSinkOutcomesTest, ChangesCountedBeforeTablesWereToldApartAreOfNoTable) {
  start();
  rows_.state["cursor"] = encode_cursor({{1, Lsn(1000), 0}, Seq(1000), {}}, {7, 4, 1, 2, 0});
  open();
  EXPECT_EQ(sink_->counters(), (Counters{7, 4, 1, 2, 0}));
  EXPECT_EQ(outcomes().at("").of(OutcomeCounts::kUnknown, Outcome::kApplied), 4);
}

}  // namespace
}  // namespace tailrace::sinks
