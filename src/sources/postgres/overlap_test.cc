#include "sources/postgres/overlap.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "sources/postgres/recording_log.h"

namespace tailrace::postgres {
namespace {

CommitRecord commit_at(std::uint64_t end) {
  CommitRecord record;
  record.end_lsn = Lsn(end);
  record.xid = Xid(static_cast<std::uint32_t>(end));
  return record;
}

/// A log with commits at 1000, 1010, 1020 …
void fill(RecordingLog& log, std::size_t commits) {
  for (std::size_t i = 0; i < commits; ++i) {
    const CommitRecord record = commit_at(1000 + 10 * i);
    log.begin(record.xid);
    log.commit(record);
  }
}

TEST(OverlapTest, a_log_of_few_commits_has_all_of_them_sent_again) {
  for (const std::size_t commits : {std::size_t{1}, std::size_t{2}, kOverlapCommits - 1}) {
    RecordingLog log;
    fill(log, commits);
    EXPECT_EQ(overlap_begin(log, Lsn(500)), Lsn(500)) << commits;
  }
}

TEST(OverlapTest, a_log_of_many_commits_has_the_last_ones_sent_again) {
  RecordingLog log;
  fill(log, kOverlapCommits + 1);
  EXPECT_EQ(overlap_begin(log, Lsn(500)), Lsn(1010));
}

TEST(OverlapTest, a_logs_only_commit_must_come_again) {
  RecordingLog log;
  fill(log, 1);
  Overlap missing(log, overlap_begin(log, Lsn(500)));
  EXPECT_FALSE(missing.complete());
  EXPECT_THROW(missing.passed(), RefusedError);
  Overlap present(log, overlap_begin(log, Lsn(500)));
  present.resent(commit_at(1000));
  present.passed();
  EXPECT_TRUE(present.complete());
}

}  // namespace
}  // namespace tailrace::postgres
