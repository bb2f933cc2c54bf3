#include "journal/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "journal/messages_for_test.h"
#include "pgoutput/messages.h"

namespace tailrace::journal {
namespace {

using test::insert;
using test::logical_message;
using test::relation_message;
using test::table;
using test::truncate;
using testing::ElementsAre;

/// A small language over a journal on real files: write transactions, restart, read what a sink would see.
class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(testing::TempDir()) /
            (std::string("journal_") + info->name() + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
    options_.directory = root_ / "journal";
    options_.spill_directory = root_ / "spill";
    options_.segment_bytes = kSmallSegment;
    options_.remembered_commits = 100;
  }
  ~JournalTest() override {
    journal_.reset();
    std::filesystem::remove_all(root_);
  }

  Journal& log() {
    if (!journal_) journal_ = Journal::open(options_);
    return *journal_;
  }
  void restart() { journal_.reset(); }

  static CommitRecord at(std::uint64_t end, std::int64_t time = 0) {
    CommitRecord record;
    record.commit_lsn = Lsn(end - 8);
    record.end_lsn = Lsn(end);
    record.xid = Xid(static_cast<std::uint32_t>(end));
    record.commit_time = PgTime(time == 0 ? static_cast<std::int64_t>(end) : time);
    return record;
  }
  /// A transaction of inserts into table 7.
  Position transaction(std::uint64_t end, const std::vector<std::string>& values) {
    log().begin(Xid(static_cast<std::uint32_t>(end)));
    log().relation(table(7));
    for (const std::string& value : values) log().append(insert(7, value));
    return log().commit(at(end));
  }
  static RelationPtr resolve(ByteView message) {
    const auto parsed = pgoutput::parse_relation(message);
    return table(parsed.oid.value(), parsed.columns.size());
  }

  /// What a reader gives: "end:value,value" per transaction, "(" and ")" for missing first and last parts.
  std::vector<std::string> read(Reader& reader, const BatchLimits& limits = {}) {
    std::vector<std::string> seen;
    while (const auto batch = reader.next(limits, {}, std::chrono::milliseconds(0))) {
      for (std::size_t t = 0; t < batch->transactions.size(); ++t) seen.push_back(show(*batch, t));
      last_ = batch->end;
    }
    return seen;
  }
  std::vector<std::string> read_all(const BatchLimits& limits = {}) { return read(*log().reader({}), limits); }
  static std::string show(const ChangeBatch& batch, std::size_t t) {
    const Transaction& transaction = batch.transactions[t];
    std::string text = transaction.first_part ? "" : "(";
    text += std::to_string(transaction.commit_end.value()) + ":";
    for (const Change& change : batch.changes) {
      if (change.transaction != t) continue;
      if (!text.ends_with(':')) text += ',';
      if (change.kind == ChangeKind::kTruncate) text += "truncate " + change.relation->name;
      if (change.kind == ChangeKind::kMessage) text += change.message_content;
      if (change.kind == ChangeKind::kDescription) text += "description of " + change.relation->name;
      if (change.kind == ChangeKind::kInsert) text += change.new_row.begin().next().bytes;
    }
    return text + (transaction.last_part ? "" : ")");
  }

  static constexpr std::uint64_t kSmallSegment = 2 << 20;
  std::filesystem::path root_;
  Options options_;
  std::unique_ptr<Journal> journal_;
  Cursor last_;
};

TEST_F(JournalTest, GivesWhatWasCommittedAndSyncedInOrder) {
  EXPECT_EQ(transaction(100, {"a", "b"}), (Position{1, Lsn(100), 2}));
  transaction(200, {"c"});
  EXPECT_EQ(log().durable_end(), Lsn(0));
  EXPECT_EQ(log().sync(), Lsn(200));
  EXPECT_THAT(read_all(), ElementsAre("100:a,b", "200:c"));
  EXPECT_EQ(last_.position, (Position{1, Lsn(200), 1}));
}

TEST_F(JournalTest, HidesWhatIsNotSynced) {
  auto reader = log().reader({});
  transaction(100, {"a"});
  EXPECT_THAT(read(*reader), ElementsAre());
  log().sync();
  EXPECT_THAT(read(*reader), ElementsAre("100:a"));
}

TEST_F(JournalTest, HoldsEverythingAfterARestart) {
  transaction(100, {"a", "b"});
  log().sync();
  restart();
  EXPECT_EQ(log().end(), (Position{1, Lsn(100), 2}));
  transaction(200, {"c"});
  log().sync();
  restart();
  EXPECT_THAT(read_all(), ElementsAre("100:a,b", "200:c"));
}

TEST_F(JournalTest, ForgetsATransactionThatWasAbandoned) {
  log().begin(Xid(1));
  log().relation(table(7));
  log().append(insert(7, "lost"));
  log().sync();
  transaction(100, {"kept"});
  log().sync();
  EXPECT_THAT(read_all(), ElementsAre("100:kept"));
}

TEST_F(JournalTest, DescriptionsAreUnitsThatTheServerIsNotExpectedToSendAgain) {
  transaction(100, {"a"});
  auto described = std::make_shared<Relation>(*table(7));
  described->name = "renamed";
  EXPECT_EQ(log().describe(Lsn(150), {described, table(9)}), (Position{1, Lsn(150), 2}));
  transaction(200, {"b"});
  log().sync();
  restart();
  EXPECT_THAT(read_all(), ElementsAre("100:a", "150:description of renamed,description of t9", "200:b"));
  EXPECT_FALSE(log().find_commit(Lsn(150)));
  EXPECT_EQ(log().nth_last_commit(2), Lsn(100));
}

TEST_F(JournalTest, GoesOnBehindACursor) {
  transaction(100, {"a"});
  transaction(200, {"b"});
  log().sync();
  read_all({.max_changes = 1});
  auto first = log().reader({});
  const auto batch = first->next({.max_changes = 1}, {}, std::chrono::milliseconds(0));
  auto second = log().reader(batch->end);
  EXPECT_THAT(read(*second), ElementsAre("200:b"));
}

TEST_F(JournalTest, RollsIntoNewSegmentsInTheMiddleOfTransactions) {
  const std::string big(100'000, 'x');
  for (std::uint64_t end = 100; end <= 1000; end += 100) transaction(end, std::vector<std::string>(7, big));
  log().sync();
  EXPECT_GT(log().stat().segments, 3U);
  EXPECT_EQ(read_all().size(), 10U);
  restart();
  EXPECT_EQ(read_all().size(), 10U);
  restart();
  EXPECT_EQ(read_all({.max_changes = 3}).size(), 30U);
}

TEST_F(JournalTest, GivesGiantsInParts) {
  transaction(100, {"a", "b", "c", "d", "e"});
  transaction(200, {"f"});
  log().sync();
  EXPECT_THAT(read_all({.max_changes = 2}), ElementsAre("100:a,b)", "(100:c,d)", "(100:e", "200:f"));
}

TEST_F(JournalTest, CutsLongMessagesAndPutsThemTogetherAgain) {
  const std::string huge(3'000'000, 'h');
  transaction(100, {"a", huge, "b"});
  log().sync();
  EXPECT_THAT(read_all(), ElementsAre("100:a," + huge + ",b"));
  restart();
  EXPECT_THAT(read_all(), ElementsAre("100:a," + huge + ",b"));
}

TEST_F(JournalTest, CountsEachRelationOfATruncate) {
  log().begin(Xid(1));
  log().relation(table(7));
  log().relation(table(8));
  log().append(truncate({7, 8}));
  log().append(insert(8, "z"));
  EXPECT_EQ(log().commit(at(100)).ordinal, 3U);
  log().sync();
  EXPECT_THAT(read_all(), ElementsAre("100:truncate t7,truncate t8,z"));
}

TEST_F(JournalTest, TakesSmallSpillsInWithoutTheirAbortedParts) {
  auto spill = log().open_spill(Xid(5));
  spill->append(Xid(5), relation_message(7));
  spill->append(Xid(5), insert(7, "a"));
  spill->append(Xid(6), insert(7, "undone"));
  spill->append(Xid(5), insert(7, "b"));
  spill->abort(Xid(6));
  EXPECT_EQ(log().adopt(*spill, at(100), resolve), (Position{1, Lsn(100), 2}));
  log().sync();
  EXPECT_THAT(read_all(), ElementsAre("100:a,b"));
  EXPECT_EQ(log().stat().adopted_files, 0U);
}

TEST_F(JournalTest, TakesLargeSpillsInAsFiles) {
  options_.spill_memory = 64 << 10;
  const std::string big(50'000, 'x');
  auto spill = log().open_spill(Xid(5));
  spill->append(Xid(5), relation_message(7));
  spill->append(Xid(6), relation_message(7, 2));
  for (int i = 0; i < 100; ++i) {
    spill->append(Xid(5), insert(7, big));
    spill->append(Xid(6), insert(7, big));
  }
  spill->append(Xid(5), insert(7, "end"));
  spill->abort(Xid(6));
  EXPECT_EQ(log().adopt(*spill, at(100), resolve).ordinal, 101U);
  transaction(200, {"after"});
  log().sync();
  spill.reset();
  for (int round = 0; round < 2; ++round) {
    const auto seen = read_all({.max_changes = 60});
    ASSERT_EQ(seen.size(), 3U);
    EXPECT_TRUE(seen[0].starts_with("100:x") && seen[0].ends_with("x)"));
    EXPECT_TRUE(seen[1].starts_with("(100:x") && seen[1].ends_with(",end"));
    EXPECT_EQ(seen[2], "200:after");
    EXPECT_EQ(log().stat().adopted_files, 1U);
    restart();
  }
}

TEST_F(JournalTest, KeepsManyOpenSpillsWithinOneBoundOfMemory) {
  constexpr std::uint32_t kSpills = 200;
  options_.spill_memory = 4 << 20;
  std::vector<std::unique_ptr<Spill>> spills;
  for (std::uint32_t i = 0; i < kSpills; ++i) {
    spills.push_back(log().open_spill(Xid(i)));
    spills.back()->append(Xid(i), relation_message(7));
  }
  for (int round = 0; round < 20; ++round) {
    for (std::uint32_t i = 0; i < kSpills; ++i)
      spills[i]->append(Xid(i), insert(7, std::string(3000, static_cast<char>('a' + i % 26))));
    EXPECT_LE(log().stat().spill_memory, options_.spill_memory);
  }
  EXPECT_EQ(log().stat().open_spills, kSpills);
  for (std::uint32_t i = 0; i < kSpills; ++i) {
    log().adopt(*spills[i], at(100 + i * 8), resolve);
    spills[i].reset();
  }
  log().sync();
  EXPECT_EQ(log().stat().spill_memory, 0U);
  EXPECT_EQ(log().stat().spill_bytes, 0U);
  const auto seen = read_all();
  ASSERT_EQ(seen.size(), kSpills);
  for (std::uint32_t i = 0; i < kSpills; ++i) EXPECT_EQ(seen[i].back(), static_cast<char>('a' + i % 26));
}

TEST_F(JournalTest, AVeryLongMessageOfASpillGoesThroughItsFileAndNotThroughMemory) {
  options_.spill_memory = 4 << 20;
  std::string huge(40 << 20, 'h');
  for (std::size_t at = 0; at < huge.size(); at += 4099) huge[at] = static_cast<char>('a' + at % 26);
  auto small = log().open_spill(Xid(4));
  small->append(Xid(4), relation_message(7));
  small->append(Xid(4), insert(7, "small"));
  auto spill = log().open_spill(Xid(5));
  spill->append(Xid(5), relation_message(7));
  for (const std::string& value : {std::string("before"), huge, std::string("between"), huge}) {
    spill->append(Xid(5), insert(7, value));
    EXPECT_LE(log().stat().spill_memory, options_.spill_memory);
  }
  log().adopt(*spill, at(100), resolve);
  log().adopt(*small, at(200), resolve);
  log().sync();
  spill.reset();
  small.reset();
  for (int round = 0; round < 2; ++round) {
    std::string seen;
    for (const std::string& part : read_all({.max_changes = 10, .max_bytes = 1 << 30})) seen += part;
    EXPECT_EQ(seen, "100:before," + huge + ",between," + huge + "200:small");
    restart();
  }
}

TEST_F(JournalTest, RemovesTheFilesOfSpillsThatEnd) {
  options_.spill_memory = 64 << 10;
  auto spill = log().open_spill(Xid(5));
  for (int i = 0; i < 10; ++i) spill->append(Xid(5), insert(7, std::string(50'000, 'x')));
  EXPECT_FALSE(std::filesystem::is_empty(options_.spill_directory));
  spill.reset();
  EXPECT_TRUE(std::filesystem::is_empty(options_.spill_directory));
}

TEST_F(JournalTest, KeepsProgressAndMessagesInOrder) {
  transaction(100, {"a"});
  log().progress(Lsn(150));
  log().message(Lsn(170), logical_message(false, 160, "p", "hello"));
  EXPECT_EQ(log().sync(), Lsn(170));
  log().progress(Lsn(180));
  EXPECT_EQ(log().sync(), Lsn(180));
  EXPECT_THAT(read_all(), ElementsAre("100:a", "170:hello"));
  EXPECT_EQ(last_.position, (Position{1, Lsn(180), 0}));
  restart();
  EXPECT_EQ(log().end(), (Position{1, Lsn(180), 0}));
  EXPECT_EQ(log().durable_end(), Lsn(180));
}

TEST_F(JournalTest, NumbersChangesUpwardsThroughRestartsAndEpochs) {
  transaction(100, std::vector<std::string>(500, "x"));
  transaction(200, {"y"});
  log().sync();
  restart();
  log().raise_epoch(Lsn(50));
  transaction(60, {"z"});
  log().sync();
  auto reader = log().reader({});
  const auto before = reader->next({}, {}, std::chrono::milliseconds(0));
  ASSERT_EQ(before->transactions.size(), 2U);
  EXPECT_EQ(before->transactions[0].seq, Seq(100));
  EXPECT_EQ(before->transactions[1].seq, Seq(600));
  EXPECT_TRUE(reader->next({}, {}, std::chrono::milliseconds(0))->empty());
  const auto behind = reader->next({}, {}, std::chrono::milliseconds(0));
  ASSERT_EQ(behind->transactions.size(), 1U);
  EXPECT_EQ(behind->transactions[0].seq, Seq(601));
  EXPECT_EQ(behind->transactions[0].epoch, 2U);
  EXPECT_EQ(behind->end.seq, Seq(601));
}

TEST_F(JournalTest, AnEpochBeginsWithABatchOfItsOwn) {
  transaction(100, {"a"});
  log().progress(Lsn(150));
  log().raise_epoch(Lsn(300));
  transaction(400, {"b"});
  log().sync();
  for (int round = 0; round < 2; ++round) {
    const auto reader = log().reader({});
    std::vector<Position> ends;
    std::vector<std::size_t> changes;
    while (const auto batch = reader->next({}, {}, std::chrono::milliseconds(0))) {
      ends.push_back(batch->end.position);
      changes.push_back(batch->changes.size());
    }
    EXPECT_THAT(ends, ElementsAre(Position{1, Lsn(150), 0}, Position{2, Lsn(300), 0}, Position{2, Lsn(400), 1}));
    EXPECT_THAT(changes, ElementsAre(1U, 0U, 1U));
    restart();
  }
}

TEST_F(JournalTest, PutsAnEpochBehindAllOfTheOneBefore) {
  transaction(100, {"a"});
  transaction(200, {"b"});
  log().raise_epoch(Lsn(50));
  transaction(60, {"c"});
  transaction(70, {"d"});
  log().sync();
  const auto reader = log().reader({});
  std::vector<Cursor> places;
  while (const auto batch = reader->next({.max_changes = 1}, {}, std::chrono::milliseconds(0)))
    places.push_back(batch->end);
  ASSERT_EQ(places.size(), 5U);
  EXPECT_LT(places[1].position, places[2].position);
  EXPECT_EQ(log().end(), places[4].position);
  for (int round = 0; round < 2; ++round) {
    EXPECT_THAT(read(*log().reader(places[1])), ElementsAre("60:c", "70:d"));
    EXPECT_THAT(read(*log().reader(places[2])), ElementsAre("60:c", "70:d"));
    EXPECT_THAT(read(*log().reader(places[3])), ElementsAre("70:d"));
    restart();
  }
}

TEST_F(JournalTest, NeverLetsMonotoneTimeStepBack) {
  log().begin(Xid(1));
  log().commit(at(100, 5000));
  log().begin(Xid(2));
  log().commit(at(200, 4000));
  log().sync();
  restart();
  log().begin(Xid(3));
  log().commit(at(300, 3000));
  log().sync();
  const auto batch = log().reader({})->next({}, {}, std::chrono::milliseconds(0));
  ASSERT_EQ(batch->transactions.size(), 3U);
  EXPECT_EQ(batch->transactions[1].monotone_time, PgTime(5000));
  EXPECT_EQ(batch->transactions[1].commit_time, PgTime(4000));
  EXPECT_EQ(batch->transactions[2].monotone_time, PgTime(5000));
}

TEST_F(JournalTest, RemembersCommitsThroughTrimAndRestart) {
  const std::string big(100'000, 'x');
  for (std::uint64_t end = 100; end <= 10'000; end += 100) transaction(end, {big});
  log().sync();
  const auto before = log().stat().segments;
  log().set_retention({1, Lsn(9000), 1}, std::chrono::seconds(0));
  EXPECT_LT(log().stat().segments, before);
  EXPECT_GT(log().start().position, (Position{1, Lsn(100), 1}));
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(log().find_commit(Lsn(100)));
    EXPECT_EQ(log().find_commit(Lsn(100))->changes, 1U);
    EXPECT_FALSE(log().find_commit(Lsn(101)));
    EXPECT_EQ(log().nth_last_commit(1), Lsn(10'000));
    EXPECT_EQ(log().nth_last_commit(1000), Lsn(100));
    restart();
  }
}

TEST_F(JournalTest, RefusesACursorWhoseFutureIsTrimmed) {
  const std::string big(100'000, 'x');
  for (std::uint64_t end = 100; end <= 10'000; end += 100) transaction(end, {big});
  log().sync();
  const Cursor old = log().start();
  log().set_retention({1, Lsn(9000), 1}, std::chrono::seconds(0));
  EXPECT_THROW(log().reader(old), CorruptionError);
  EXPECT_EQ(read_all().back(), "10000:" + big);
}

TEST_F(JournalTest, StopsTakingAtItsSizeLimitAndGoesOnAfterTrim) {
  options_.max_bytes = 4 * kSmallSegment;
  const std::string big(100'000, 'x');
  std::uint64_t end = 100;
  EXPECT_THROW(
      {
        for (;; end += 100) {
          transaction(end, {big});
          log().sync();
        }
      },
      RetryError);
  log().set_retention({1, Lsn(end - 100), 1}, std::chrono::seconds(0));
  log().append(insert(7, "again"));
  log().commit(at(end));
  log().sync();
  EXPECT_TRUE(read_all().back().ends_with("again"));
}

TEST_F(JournalTest, KeepsForAWhileUnlessSpaceRunsShort) {
  options_.max_bytes = 5 * kSmallSegment;
  const std::string big(100'000, 'x');
  std::uint64_t end = 0;
  while (log().stat().segments < 3) transaction(end += 100, {big});
  log().sync();
  log().set_retention(log().end(), std::chrono::hours(1));
  EXPECT_EQ(log().stat().segments, 3U);
  while (log().stat().segments < 5) transaction(end += 100, {big});
  log().sync();
  log().set_retention(log().end(), std::chrono::hours(1));
  EXPECT_EQ(log().stat().segments, 3U);
}

TEST_F(JournalTest, GivesUpSegmentsOfSmallJournalsForMoreOfThem) {
  options_.segment_bytes = 128 << 20;
  options_.max_bytes = 8 << 20;
  transaction(100, {"a"});
  EXPECT_EQ(log().stat().bytes, 2U << 20);
  restart();
  options_.max_bytes = 7 << 20;
  EXPECT_THROW(log(), BadConfigError);
}

TEST_F(JournalTest, VoidsTheOpenTransactionWhenTheEpochRises) {
  transaction(100, {"a"});
  log().begin(Xid(1));
  log().relation(table(8));
  log().append(insert(8, "lost"));
  log().raise_epoch(Lsn(50));
  log().begin(Xid(2));
  log().append(insert(8, "kept"));
  log().commit(at(60));
  log().sync();
  EXPECT_THAT(read_all(), ElementsAre("100:a", "60:kept"));
}

TEST_F(JournalTest, WorksThroughTheKernelsCacheToo) {
  options_.direct_io = false;
  transaction(100, {"a", std::string(300'000, 'x')});
  log().sync();
  restart();
  EXPECT_EQ(read_all().size(), 1U);
}

}  // namespace
}  // namespace tailrace::journal
