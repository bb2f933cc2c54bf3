#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/crash_point.h"
#include "journal/journal.h"
#include "journal/messages_for_test.h"

#if TAILRACE_CRASH_POINTS

namespace tailrace::journal {
namespace {

using test::insert;
using test::table;

constexpr std::uint64_t kUnits = 60;
/// Tells a process of this program to write to the journal below that directory instead of running tests.
constexpr const char* kWriteTo = "TAILRACE_JOURNAL_TEST_WRITE_TO";

Options options_below(const std::filesystem::path& root) {
  Options options;
  options.directory = root / "journal";
  options.spill_directory = root / "spill";
  options.segment_bytes = 2 << 20;
  options.spill_memory = 64 << 10;
  return options;
}

/// Units at 8, 16, 24 …, of which every fifth is a large streamed one; says behind each sync how far it is durable.
void write_below(const std::filesystem::path& root) {
  const auto log = Journal::open(options_below(root));
  std::ofstream durable(root / "durable");
  for (std::uint64_t end = log->end().commit_end.value() + 8; end <= kUnits * 8; end += 8) {
    CommitRecord record;
    record.end_lsn = Lsn(end);
    if (end % 40 == 0) {
      const auto spill = log->open_spill(Xid(2));
      spill->append(Xid(2), test::relation_message(7));
      for (int i = 0; i < 5; ++i) spill->append(Xid(2), insert(7, std::string(50'000, 'x')));
      log->adopt(*spill, record, [](ByteView) { return table(7); });
    } else {
      log->begin(Xid(1));
      log->relation(table(7));
      log->append(insert(7, std::string(150'000, 'x')));
      log->commit(record);
    }
    if (end % 16 != 0) continue;
    durable << log->sync().value() << std::endl;
    log->set_retention({1, Lsn(end / 2), 100}, std::chrono::seconds(0));
  }
}

class WritingProcess final : public testing::Environment {
 public:
  void SetUp() override {
    const char* root = std::getenv(kWriteTo);
    if (root == nullptr) return;
    write_below(root);
    ::_exit(0);
  }
};
const auto* const kWritingProcess = testing::AddGlobalTestEnvironment(new WritingProcess);

/// A process of its own writes until it kills itself at a named point; then the journal is opened here.
class CrashPointTest : public testing::TestWithParam<const char*> {
 protected:
  CrashPointTest() {
    std::string name = GetParam();
    std::ranges::replace(name, '.', '_');
    root_ = std::filesystem::path(testing::TempDir()) / ("crash_" + name + "_" + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
  }
  ~CrashPointTest() override { std::filesystem::remove_all(root_); }

  /// True when the process died at the point's n-th passage, false when it never came there.
  bool write_until(int passage) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::setenv("TAILRACE_CRASH_AT", (std::string(GetParam()) + ":" + std::to_string(passage)).c_str(), 1);
      ::setenv(kWriteTo, root_.c_str(), 1);
      ::execl("/proc/self/exe", "journal_test", nullptr);
      ::_exit(1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
  }
  void check() {
    std::uint64_t durable = 0;
    std::ifstream lines(root_ / "durable");
    for (std::uint64_t end = 0; lines >> end;) durable = end;
    const auto log = Journal::open(options_below(root_));
    const auto reader = log->reader({});
    std::uint64_t last = log->start().position.commit_end.value();
    while (const auto batch = reader->next({}, {}, std::chrono::milliseconds(0))) {
      for (const Transaction& transaction : batch->transactions) {
        ASSERT_EQ(transaction.commit_end.value(), last + 8);
        last += 8;
      }
    }
    EXPECT_GE(last, durable);
    EXPECT_EQ(log->end().commit_end.value(), last);
  }

  std::filesystem::path root_;
};

TEST_P(CrashPointTest, LosesNothingThatWasDurable) {
  int deaths = 0;
  for (const int passage : {1, 2, 5}) {
    std::filesystem::create_directories(root_);
    deaths += write_until(passage) ? 1 : 0;
    check();
  }
  EXPECT_GT(deaths, 0) << "the point was never passed";
}

INSTANTIATE_TEST_SUITE_P(Points, CrashPointTest,
                         testing::Values("journal.before_write", "journal.after_write_before_sync",
                                         "journal.after_sync", "journal.roll.old_synced", "journal.roll.allocated",
                                         "journal.roll.header_written", "journal.roll.renamed", "journal.roll.durable",
                                         "journal.trim.before", "journal.trim.segment_removed", "journal.trim.durable",
                                         "journal.trim.file_removed", "spill.footer", "spill.durable", "spill.rename",
                                         "spill.before_adopt_frame"));

}  // namespace
}  // namespace tailrace::journal

#endif
