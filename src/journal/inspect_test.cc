#include "journal/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/messages_for_test.h"
#include "pgoutput/messages.h"

namespace tailrace::journal {
namespace {

using test::insert;
using test::table;
using testing::ElementsAre;
using testing::SizeIs;

class InspectTest : public testing::Test {
 protected:
  InspectTest() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(testing::TempDir()) /
            (std::string("inspect_") + info->name() + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
    options_.directory = root_ / "journal";
    options_.spill_directory = root_ / "spill";
    options_.segment_bytes = 2 << 20;
    options_.spill_memory = 64 << 10;
    log_ = Journal::open(options_);
  }
  ~InspectTest() override {
    log_.reset();
    std::filesystem::remove_all(root_);
  }

  static CommitRecord at(std::uint64_t end) {
    CommitRecord record;
    record.end_lsn = Lsn(end);
    return record;
  }
  void transaction(std::uint64_t end, const std::string& value = "v") {
    log_->begin(Xid(1));
    log_->relation(table(7));
    log_->append(insert(7, value));
    log_->commit(at(end));
    log_->sync();
  }
  void adopted(std::uint64_t end) {
    const auto spill = log_->open_spill(Xid(2));
    spill->append(Xid(2), test::relation_message(7));
    for (int i = 0; i < 10; ++i) spill->append(Xid(2), insert(7, std::string(50'000, 'x')));
    log_->adopt(*spill, at(end), [](ByteView) { return table(7); });
    log_->sync();
  }
  static std::vector<std::uint64_t> ends(Reader& reader) {
    std::vector<std::uint64_t> found;
    while (const auto batch = reader.next({}, {}, std::chrono::milliseconds(0)))
      for (const Transaction& transaction : batch->transactions) found.push_back(transaction.commit_end.value());
    return found;
  }
  void flip(const std::string& file, std::streamoff offset) {
    std::fstream bytes(options_.directory / file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekg(offset);
    const char old = static_cast<char>(bytes.get());
    bytes.seekp(offset);
    bytes.put(static_cast<char>(old ^ 1));
  }

  std::filesystem::path root_;
  Options options_;
  std::unique_ptr<Journal> log_;
};

TEST_F(InspectTest, ReadsBesideTheProcessThatWrites) {
  transaction(100);
  Inspector inspector(options_.directory);
  const auto reader = inspector.reader({});
  EXPECT_THAT(ends(*reader), ElementsAre(100));
  transaction(200);
  EXPECT_THAT(ends(*reader), ElementsAre());
  inspector.refresh();
  EXPECT_THAT(ends(*reader), ElementsAre(200));
  // Across a roll.
  for (std::uint64_t end = 300; end <= 800; end += 100) transaction(end, std::string(600'000, 'x'));
  adopted(900);
  inspector.refresh();
  EXPECT_THAT(ends(*reader), ElementsAre(300, 400, 500, 600, 700, 800, 900));
  EXPECT_THAT(ends(*inspector.reader(Position{1, Lsn(800), 1})), ElementsAre(900));
}

TEST_F(InspectTest, ListsSegmentsWithWhatTheyHold) {
  transaction(100);
  adopted(200);
  for (std::uint64_t end = 300; end <= 800; end += 100) transaction(end, std::string(600'000, 'x'));
  const auto segments = Inspector(options_.directory).segments();
  ASSERT_THAT(segments, SizeIs(2));
  EXPECT_TRUE(segments[0].sealed);
  EXPECT_FALSE(segments[1].sealed);
  EXPECT_EQ(segments[0].adopted_files, 1U);
  EXPECT_GT(segments[0].adopted_bytes, 500'000U);
  EXPECT_EQ(segments[0].last, segments[1].behind);
  EXPECT_EQ(segments[1].last, log_->end());
}

TEST_F(InspectTest, VerifyPassesWhatIsWhole) {
  transaction(100);
  adopted(200);
  for (std::uint64_t end = 300; end <= 800; end += 100) transaction(end, std::string(600'000, 'x'));
  const auto result = Inspector(options_.directory).verify();
  EXPECT_THAT(result.damages, SizeIs(0));
  EXPECT_EQ(result.segments, 2U);
  EXPECT_EQ(result.adopted_files, 1U);
}

TEST_F(InspectTest, VerifyNamesEveryDamagedFile) {
  adopted(200);
  for (std::uint64_t end = 300; end <= 800; end += 100) transaction(end, std::string(600'000, 'x'));
  flip("0000000001.seg", 1'000'000);
  flip("0000000001-000001.txn", 100'000);
  const auto result = Inspector(options_.directory).verify();
  ASSERT_THAT(result.damages, SizeIs(2));
  EXPECT_EQ(result.damages[0].file, "0000000001-000001.txn");
  EXPECT_EQ(result.damages[1].file, "0000000001.seg");
  EXPECT_LE(result.damages[1].offset, 1'000'000U);
  EXPECT_GT(result.damages[1].offset, 300'000U);
}

TEST_F(InspectTest, RefusesADirectoryWithoutAJournal) {
  std::filesystem::create_directories(root_ / "empty");
  EXPECT_THROW(Inspector(root_ / "empty"), BadConfigError);
  EXPECT_THROW(Inspector(root_ / "missing"), BadConfigError);
}

}  // namespace
}  // namespace tailrace::journal
