#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/messages_for_test.h"

namespace tailrace::journal {
namespace {

using test::insert;
using test::table;

/// One writer, readers of different speeds, and trim, each in its own thread.
class ReadersBesideWriterTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kTransactions = 3000;

  ReadersBesideWriterTest() {
    root_ = std::filesystem::path(testing::TempDir()) / ("readers_beside_writer_" + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
    options_.directory = root_ / "journal";
    options_.spill_directory = root_ / "spill";
    options_.segment_bytes = 2 << 20;
    options_.ring_bytes = 1 << 20;
    options_.spill_memory = 64 << 10;
    log_ = Journal::open(options_);
  }
  ~ReadersBesideWriterTest() override {
    log_.reset();
    std::filesystem::remove_all(root_);
  }

  void write() {
    for (std::uint64_t i = 1; i <= kTransactions; ++i) {
      CommitRecord record;
      record.end_lsn = Lsn(i * 8);
      if (i % 500 == 0) {
        const auto spill = log_->open_spill(Xid(2));
        spill->append(Xid(2), test::relation_message(7));
        for (int n = 0; n < 5; ++n) spill->append(Xid(2), insert(7, std::string(40'000, 'x')));
        log_->adopt(*spill, record, [](ByteView) { return table(7); });
      } else {
        log_->begin(Xid(1));
        log_->relation(table(7));
        log_->append(insert(7, std::string(i % 50 == 0 ? 100'000 : 100, 'x')));
        log_->commit(record);
      }
      if (i % 7 == 0) log_->sync();
    }
    log_->sync();
    written_ = true;
  }

  /// Reads everything, `pause` after each batch; tells `done` how far.
  void read(std::chrono::microseconds pause, std::atomic<std::uint64_t>& done) {
    auto reader = log_->reader({});
    std::uint64_t last = 0;
    while (last < kTransactions * 8) {
      const auto batch = reader->next({.max_changes = 50, .max_bytes = 1 << 20}, {}, std::chrono::seconds(5));
      ASSERT_TRUE(batch);
      for (const Transaction& transaction : batch->transactions) {
        if (!transaction.first_part) continue;
        ASSERT_EQ(transaction.commit_end.value(), last + 8);
        last += 8;
      }
      for (const Change& change : batch->changes) ASSERT_EQ(change.new_row.begin().next().bytes.front(), 'x');
      if (batch->ends_transaction()) done = last;
      std::this_thread::sleep_for(pause);
    }
  }

  std::filesystem::path root_;
  Options options_;
  std::unique_ptr<Journal> log_;
  std::atomic<bool> written_{false};
};

TEST_F(ReadersBesideWriterTest, SeeEveryTransactionOnceInAndOutOfTheRing) {
  std::atomic<std::uint64_t> fast{0};
  std::atomic<std::uint64_t> slow{0};
  {
    std::jthread writer([this] { write(); });
    std::jthread first([&] { read(std::chrono::microseconds(0), fast); });
    std::jthread second([&] { read(std::chrono::microseconds(2000), slow); });
    while (!written_ || std::min(fast.load(), slow.load()) < kTransactions * 8) {
      const std::uint64_t needed = std::min(fast.load(), slow.load());
      // An ordinal above all of the transaction's: it is done.
      log_->set_retention({1, Lsn(needed), 100}, std::chrono::seconds(0));
      log_->stat();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  EXPECT_LE(log_->stat().segments, 2U);
}

TEST_F(ReadersBesideWriterTest, AWaitingReaderLeavesWhenItIsStopped) {
  std::stop_source stop;
  std::jthread reader([&] { EXPECT_EQ(log_->reader({})->next({}, stop.get_token(), std::chrono::hours(1)), nullptr); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  stop.request_stop();
}

}  // namespace
}  // namespace tailrace::journal
