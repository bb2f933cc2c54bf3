#include "pipeline/first_copy.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace tailrace::pipeline {
namespace {

CopyStatus only(CopyBoard& board) {
  const std::vector<CopyStatus> seen = board.look();
  EXPECT_EQ(seen.size(), 1u);
  return seen.at(0);
}

TEST(CopyBoard, PaceAndTimeLeftAreToldOfATableOnceItIsUnderWay) {
  CopyBoard board("warehouse");
  sources::CopyProgress& progress = board.add("public.t", 4000, 40);
  EXPECT_EQ(only(board).fraction, 0);
  progress.rows = 1000;
  progress.pages_done = 10;
  EXPECT_FALSE(only(board).seconds_left) << "of the very beginning nothing can be said";
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  progress.rows = 2000;
  progress.pages_done = 20;
  const CopyStatus half = only(board);
  EXPECT_EQ(half.sink, "warehouse");
  EXPECT_EQ(half.fraction, 0.5);
  EXPECT_GT(half.rows_per_second, 2000 / 30.0);
  EXPECT_LE(half.rows_per_second, 2000 / 1.1);
  ASSERT_TRUE(half.seconds_left);
  // What is left takes as long as what is done.
  EXPECT_NEAR(*half.seconds_left, 2000 / half.rows_per_second, 0.01);
  board.finish(progress);
  const CopyStatus done = only(board);
  EXPECT_TRUE(done.done);
  EXPECT_EQ(done.fraction, 1);
  EXPECT_FALSE(done.seconds_left);
}

TEST(CopyBoard, ATableOfOneRangeIsJudgedByTheStatistics) {
  CopyBoard board("warehouse");
  sources::CopyProgress& progress = board.add("public.t", 1000, 40);
  progress.rows = 250;
  EXPECT_EQ(only(board).fraction, 0.25);
  progress.rows = 5000;
  EXPECT_EQ(only(board).fraction, 0.99) << "the statistics may be old";
}

TEST(CopyBoard, ACopyThatWaitsForTheServerSaysSo) {
  CopyBoard board("warehouse");
  sources::CopyProgress& progress = board.add("public.t", 1000, 40);
  EXPECT_FALSE(only(board).waits_for_server);
  progress.waits_for_server = true;
  EXPECT_TRUE(only(board).waits_for_server);
}

}  // namespace
}  // namespace tailrace::pipeline
