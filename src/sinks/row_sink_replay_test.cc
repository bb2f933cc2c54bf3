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
    sink_->begin_copy({items()});
    sink_->finish_copy({items(), {*SnapshotXids::parse("10:10:"), Lsn(1000), Batch::at(1000)}, 0});
    sink_->finish_copies({{1, Lsn(1000), 0}, Seq(1000), Batch::at(1000)});
  }
  void open() {
    sink_ = std::make_unique<RowSink>(RowSinkSpec{.pipeline = "p", .source_id = "s", .display = "memory"},
                                      std::make_unique<MemoryRowTarget>(rows_));
    sink_->open();
  }
  /// Gives the letters.
  std::vector<DeadLetter> apply(Batch& batch) {
    sink_->apply(batch.done());
    std::vector<DeadLetter> letters = sink_->take_dead_letters();
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

}  // namespace
}  // namespace tailrace::sinks
