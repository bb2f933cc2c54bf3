// Descriptions and messages that are too long for a frame of their own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/memory_files_for_test.h"
#include "journal/messages_for_test.h"

namespace tailrace::journal {
namespace {

using test::insert;
using test::logical_message;
using test::MemoryFiles;
using test::table;
using testing::ElementsAre;

class LongFramesTest : public testing::Test {
 protected:
  LongFramesTest() {
    options_.directory = "/journal";
    options_.spill_directory = "/spill";
    options_.segment_bytes = 2 << 20;
    options_.remembered_commits = 4;
    options_.files = &files_;
    open();
  }
  void open() {
    log_.reset();
    log_ = Journal::open(options_);
  }
  static CommitRecord at(std::uint64_t end) {
    CommitRecord record;
    record.commit_lsn = Lsn(end - 8);
    record.end_lsn = Lsn(end);
    record.xid = Xid(static_cast<std::uint32_t>(end));
    return record;
  }
  /// Table 7 with a default that is as long.
  static RelationPtr described_at_length(std::size_t bytes) {
    auto relation = std::make_shared<Relation>(*table(7));
    relation->columns.front().missing = std::string(bytes, 'd');
    return relation;
  }
  void transaction(std::uint64_t end, const RelationPtr& relation, const std::vector<std::string>& values) {
    log_->begin(Xid(static_cast<std::uint32_t>(end)));
    log_->relation(relation);
    for (const std::string& value : values) log_->append(insert(7, value));
    log_->commit(at(end));
    log_->sync();
  }
  /// "end:length of the table's default/length of the value,…" per batch's transaction.
  std::vector<std::string> read(const std::optional<Cursor>& from = {}, const BatchLimits& limits = {}) {
    std::vector<std::string> seen;
    const auto reader = log_->reader(from);
    while (const auto batch = reader->next(limits, {}, std::chrono::milliseconds(0))) {
      for (std::size_t t = 0; t < batch->transactions.size(); ++t) {
        seen.push_back(std::to_string(batch->transactions[t].commit_end.value()) + ":");
        for (const Change& change : batch->changes)
          if (change.transaction == t) seen.back() += show(change) + ",";
      }
      if (!first_) first_ = batch->end;
    }
    return seen;
  }
  static std::string show(const Change& change) {
    if (change.kind == ChangeKind::kMessage) return "message " + std::to_string(change.message_content.size());
    const auto& missing = change.relation->columns.front().missing;
    return (missing ? std::to_string(missing->size()) : "none") + "/" +
           std::to_string(change.new_row.begin().next().bytes.size());
  }

  MemoryFiles files_;
  Options options_;
  std::unique_ptr<Journal> log_;
  /// Where the first batch read ended.
  std::optional<Cursor> first_;
};

TEST_F(LongFramesTest, ALongDescriptionIsThereForWhoeverBeginsToReadAnywhere) {
  transaction(100, table(7), {"a"});
  transaction(200, described_at_length(700'000), {"bb", std::string(300'000, 'b')});
  // On to other segments, where it has to be told again.
  for (std::uint64_t end = 300; end < 1000; end += 100)
    transaction(end, described_at_length(700'000), {std::string(200'000, 'c'), std::string(200'000, 'd')});
  const std::vector<std::string> all = read({}, {.max_changes = 1, .max_bytes = 1});
  ASSERT_GE(log_->stat().segments, 3U);
  for (int round = 0; round < 2; ++round) {
    const auto seen = read();
    ASSERT_EQ(seen.size(), 9U);
    EXPECT_EQ(seen[0], "100:none/1,");
    EXPECT_EQ(seen[1], "200:700000/2,700000/300000,");
    EXPECT_EQ(seen[8], "900:700000/200000,700000/200000,");
    // Behind the one that told of it.
    Cursor behind = *first_;
    behind.position = {1, Lsn(500), 2};
    EXPECT_EQ(read(behind).front(), "600:700000/200000,700000/200000,");
    open();
  }
  // Change by change it is the same.
  EXPECT_EQ(all.size(), 17U);
  EXPECT_EQ(all[1], "200:700000/2,");
}

TEST_F(LongFramesTest, ALongDescriptionCountsAlsoInATransactionThatIsPassedOver) {
  transaction(100, table(7), {"a"});
  transaction(200, described_at_length(600'000), {"bb"});
  log_->begin(Xid(300));
  log_->append(insert(7, "ccc"));
  log_->commit(at(300));
  log_->sync();
  read();
  Cursor behind = *first_;
  behind.position = {1, Lsn(200), 1};
  EXPECT_THAT(read(behind), ElementsAre("300:600000/3,"));
}

TEST_F(LongFramesTest, ADescriptionOfMoreThanHalfASegmentIsRefusedByName) {
  log_->begin(Xid(1));
  log_->relation(described_at_length(1'100'000));
  try {
    log_->append(insert(7, "a"));
    FAIL() << "it was taken";
  } catch (const RefusedError& error) {
    EXPECT_EQ(error.code(), "TR146");
    EXPECT_THAT(error.what(), testing::HasSubstr("public.t7"));
  }
}

TEST_F(LongFramesTest, LogicalMessagesOfAnyLengthComeInOrder) {
  const std::vector<std::size_t> lengths = {5, 250'000, 300'000, 600'000, 3'000'000, 7};
  std::vector<std::string> expected;
  std::uint64_t end = 100;
  for (const std::size_t length : lengths) {
    log_->message(Lsn(end), logical_message(false, end - 8, "p", std::string(length, 'm')));
    expected.push_back(std::to_string(end) + ":message " + std::to_string(length) + ",");
    end += 100;
  }
  transaction(end, table(7), {"a"});
  expected.push_back(std::to_string(end) + ":none/1,");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(read(), expected);
    EXPECT_EQ(log_->end().commit_end, Lsn(end));
    open();
  }
}

}  // namespace
}  // namespace tailrace::journal
