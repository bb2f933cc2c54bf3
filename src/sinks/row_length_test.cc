#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file_bytes.h"
#include "model/batch_for_test.h"
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
using ::testing::UnorderedElementsAre;

/// Rows of more than 60 bytes are too long for the sink.
class RowLengthTest : public ::testing::TestWithParam<RowStyle> {
 protected:
  RowLengthTest() {
    rows_.traits.style = GetParam();
    sink_ = std::make_unique<RowSink>(
        RowSinkSpec{.pipeline = "p", .source_id = "s", .display = "memory", .longest_row = 60},
        std::make_unique<MemoryRowTarget>(rows_));
    sink_->open();
    sink_->begin_copy({items()});
  }
  void finish() {
    sink_->finish_copy({items(), {*SnapshotXids::parse("10:10:"), Lsn(1000), Batch::at(1000)}, 0});
    sink_->finish_copies({{1, Lsn(1000), 0}, Seq(1000), Batch::at(1000)});
  }
  /// Operation, reason, and the row as the target would have it.
  std::vector<std::pair<std::string, std::string>> letters() {
    std::vector<std::pair<std::string, std::string>> found;
    for (const DeadLetter& letter : sink_->take_dead_letters()) {
      found.emplace_back(letter.operation + " " + letter.reason, test::row_text(TupleView(letter.new_row)));
      kept_ += letter.held.size();
    }
    return found;
  }

  MemoryRows rows_;
  std::unique_ptr<RowSink> sink_;
  Clock clock_;
  std::size_t kept_ = 0;
  const std::string long_ = std::string(80, 'l');
  const std::string too_long_ = kRowTooLong;
};

TEST_P(RowLengthTest, LongRowsOfTheStreamAreLettersAndOthersGoOn) {
  finish();
  Batch batch(clock_);
  batch.begin().insert(items(), {"1", "a", "x"}).insert(items(), {"2", long_, "x"}).update(items(), {"1", "b", "x"});
  batch.begin().update(items(), {"2", "c", "x"}).remove(items(), {"1", {}, {}}).insert(items(), {"3", "d", "x"});
  sink_->apply(batch.done());
  EXPECT_THAT(letters(), ElementsAre(Pair("insert " + too_long_, "2|" + long_ + "|x"),
                                     Pair(std::string("update ") + kChainedLetter, "2|c|x")));
  sink_->flush();
  EXPECT_EQ(sink_->counters(), (Counters{6, 4, 0, 2, 0}));
  EXPECT_THAT(rows_.tables["items"], ElementsAre(Pair("3", "3|d|x")));
}

TEST_P(RowLengthTest, ALongCopiedRowIsALetterThatHoldsWhatItLiesIn) {
  const auto writer = sink_->open_copy(items());
  CopiedRows rows{.relation = items(), .tuples = tuple_bytes({"1", "a", "x"}), .count = 1};
  writer->append(rows);
  const std::string tuple = tuple_bytes({"2", long_, "x"});
  const auto file = std::make_shared<FileBytes>(::testing::TempDir(), tuple.size());
  tuple.copy(file->data(), tuple.size());
  rows.held_tuple = {file->data(), tuple.size()};
  rows.held = file;
  writer->append(rows);
  writer->finish();
  rows.held.reset();
  EXPECT_EQ(file.use_count(), 2);
  EXPECT_THAT(letters(), ElementsAre(Pair("copy " + too_long_, "2|" + long_ + "|x")));
  finish();
  EXPECT_THAT(rows_.tables["items"], UnorderedElementsAre(Pair("1", "1|a|x")));
}

INSTANTIATE_TEST_SUITE_P(Styles, RowLengthTest, ::testing::Values(RowStyle::kState, RowStyle::kEvents),
                         [](const auto& tried) {
                           return tried.param == RowStyle::kState ? std::string("State") : std::string("Events");
                         });

}  // namespace
}  // namespace tailrace::sinks
