#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tailrace::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

pipeline::PipelineStatus snapshotting() {
  pipeline::PipelineStatus status;
  status.name = "shop";
  status.state = "snapshotting";
  status.snapshot.tables_total = 4;
  status.snapshot.tables_done = 1;
  status.snapshot.rows = 8'100'000;
  status.snapshot.percent = 81;
  status.sinks.push_back({.name = "w", .kind = "duckdb", .display = "w.duckdb", .state = "copying"});
  return status;
}

std::string shown(Progress& progress, const pipeline::PipelineStatus& status) {
  ::testing::internal::CaptureStderr();
  progress.show({status});
  return ::testing::internal::GetCapturedStderr();
}

TEST(Progress, ABarShowsItsShare) {
  EXPECT_EQ(bar(0.5, 4), "██░░");
  EXPECT_EQ(bar(-1, 2), "░░");
  EXPECT_EQ(bar(7, 2), "██");
}

TEST(Progress, ALineTellsStateRateAndLag) {
  pipeline::PipelineStatus status = snapshotting();
  EXPECT_THAT(stream_line(status, 0), HasSubstr("snapshot 81 % (1 of 4 tables, 8,100,000 rows)"));
  status.state = "streaming";
  status.source.changes = 14'203;
  status.source.lag_bytes = 18'000'000;
  status.sinks[0].lag_seconds = 0.061;
  EXPECT_EQ(stream_line(status, 84'200), "shop streaming  14,203 changes  84,200/s  lag 61 ms  slot retains 18.0 MB");
}

TEST(Progress, ATablesLineTellsShareRowsPaceAndWhatIsLeft) {
  pipeline::CopyStatus table{
      .sink = "w", .table = "public.orders", .rows = 2'500, .estimated_rows = 10'000, .fraction = 0.25};
  EXPECT_EQ(copy_line(table, 0), "public.orders            █████░░░░░░░░░░░░░░░  25 %  2,500/10,000");
  table.seconds_left = 61;
  EXPECT_THAT(copy_line(table, 500), HasSubstr("2,500/10,000  500/s  1m01s left"));
  table.waits_for_server = true;
  EXPECT_THAT(copy_line(table, 0), HasSubstr("waits for the server"));
  table.done = true;
  table.waits_for_server = false;
  EXPECT_EQ(copy_line(table, 500), "public.orders            █████░░░░░░░░░░░░░░░  25 %  2,500/10,000");
}

TEST(Progress, OffATerminalThereIsOneLineAtEachChangeOfState) {
  Progress progress{GlobalOptions{}};
  pipeline::PipelineStatus status = snapshotting();
  EXPECT_THAT(shown(progress, status), StartsWith("shop snapshotting"));
  EXPECT_EQ(shown(progress, status), "");
  status.state = "streaming";
  EXPECT_THAT(shown(progress, status), StartsWith("shop streaming"));
}

TEST(Progress, ASinksTroubleIsSaidOnce) {
  Progress progress{GlobalOptions{}};
  pipeline::PipelineStatus status = snapshotting();
  shown(progress, status);
  status.sinks[0].state = "retrying";
  status.sinks[0].last_error = "TR601 held by another process";
  EXPECT_THAT(shown(progress, status), HasSubstr("retrying  w: TR601 held by another process"));
  EXPECT_EQ(shown(progress, status), "");
}

TEST(Progress, QuietSaysNothing) {
  GlobalOptions globals;
  globals.quiet = true;
  Progress progress(globals);
  EXPECT_EQ(shown(progress, snapshotting()), "");
}

}  // namespace
}  // namespace tailrace::cli
