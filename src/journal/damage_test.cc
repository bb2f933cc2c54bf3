#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/memory_files_for_test.h"
#include "journal/messages_for_test.h"
#include "journal/segment_file.h"
#include "pgoutput/messages.h"

namespace tailrace::journal {
namespace {

using test::insert;
using test::MemoryFiles;
using test::table;
using testing::HasSubstr;

/// One segment in memory: frames are written, bytes of them are changed, and the journal is opened again.
class DamageTest : public testing::Test {
 protected:
  DamageTest() {
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
  void transaction(std::uint64_t end, const std::string& value = "value") {
    log_->begin(Xid(1));
    log_->relation(table(7));
    log_->append(insert(7, value));
    CommitRecord record;
    record.end_lsn = Lsn(end);
    log_->commit(record);
  }
  std::string& segment(std::uint64_t number = 1) { return files_.bytes("/journal/" + segment_name(number)); }

  struct Spot {
    FrameType type;
    std::uint64_t offset;
    std::uint64_t end;
  };
  std::vector<Spot> frames() {
    ChunkPool chunks(1);
    SegmentFile file(files_, "/journal", 1, false, chunks);
    std::vector<Spot> found;
    Frame frame;
    for (std::uint64_t at = kFirstFrame; file.read(at, file.size(), frame) == FrameCheck::kValid; at = frame.end())
      found.push_back({frame.type, at, frame.end()});
    return found;
  }
  std::vector<std::uint64_t> ends() {
    std::vector<std::uint64_t> found;
    auto reader = log_->reader({});
    while (const auto batch = reader->next({}, {}, std::chrono::milliseconds(0)))
      for (const Transaction& transaction : batch->transactions) found.push_back(transaction.commit_end.value());
    return found;
  }
  /// The error of opening the journal; empty when it opens.
  std::string error_of_opening() {
    try {
      open();
      return "";
    } catch (const CorruptionError& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::kDamaged);
      return error.what();
    }
  }
  /// Opens a copy of the journal's bytes, so that each trial begins alike.
  template <typename Change>
  std::string try_with(Change change) {
    log_.reset();
    const std::string before = segment();
    change(segment());
    const std::string error = error_of_opening();
    if (error.empty()) seen_ = ends();
    log_.reset();
    for (const std::string& name : files_.list("/journal"))
      if (name != segment_name(1)) files_.remove("/journal/" + name);
    segment() = before;
    return error;
  }

  MemoryFiles files_;
  Options options_;
  std::unique_ptr<Journal> log_;
  std::vector<std::uint64_t> seen_;
};

TEST_F(DamageTest, CutsATornTailAtAnyByte) {
  transaction(100);
  log_->sync();
  const std::uint64_t durable = frames().back().end;
  transaction(200);
  log_->sync();
  std::uint64_t end = frames().back().end;
  while (segment()[end - 1] == 0) --end;
  for (std::uint64_t at = durable; at < end; ++at) {
    const auto error = try_with([&](std::string& bytes) { bytes.replace(at, end - at, end - at, '\0'); });
    ASSERT_EQ(error, "") << at;
    ASSERT_EQ(seen_, std::vector<std::uint64_t>{100}) << at;
  }
}

TEST_F(DamageTest, CutsTheTailWhicheverOfItsBytesIsWrong) {
  transaction(100);
  log_->sync();
  const std::uint64_t durable = frames().back().end;
  transaction(200);
  log_->sync();
  const std::uint64_t end = frames().back().end;
  for (std::uint64_t at = durable; at < end; ++at) {
    const auto error = try_with([&](std::string& bytes) { bytes[at] = static_cast<char>(bytes[at] ^ 4); });
    ASSERT_EQ(error, "") << at;
    // A wrong byte of padding is no frame's; nothing else may pass.
    if (seen_.size() == 2) continue;
    ASSERT_EQ(seen_, std::vector<std::uint64_t>{100}) << at;
  }
}

TEST_F(DamageTest, NamesAFlippedBitInWhatALaterFrameKnowsToBeDurable) {
  transaction(100);
  log_->sync();
  const auto old = frames();
  transaction(200);
  log_->sync();
  for (const Spot& frame : old) {
    const auto error = try_with([&](std::string& bytes) { bytes[frame.offset] ^= 1; });
    EXPECT_THAT(error, HasSubstr("0000000001.seg at offset " + std::to_string(frame.offset)));
  }
}

TEST_F(DamageTest, NamesWhatIsLostInZerosWhereverInABlockTheNextFrameBegins) {
  std::set<std::uint64_t> begins;
  for (std::size_t pad = 0; begins.size() < kBlock / kFrameAlignment; pad += kFrameAlignment) {
    log_.reset();
    files_.remove("/journal/" + segment_name(1));
    open();
    transaction(100, std::string(3 * kBlock + pad, 'x'));
    log_->sync();
    const std::uint64_t proof = frames().back().end;
    transaction(200);
    log_->sync();
    const auto error =
        try_with([&](std::string& bytes) { bytes.replace(proof - 3 * kBlock, 3 * kBlock, 3 * kBlock, '\0'); });
    ASSERT_THAT(error, HasSubstr("the frame at " + std::to_string(proof) + " tells that this was durable"));
    begins.insert(proof % kBlock);
  }
}

TEST_F(DamageTest, NamesAFlippedBitInTheLastFramesWhenACursorLiesBeyond) {
  transaction(100);
  log_->sync();
  const auto flip = [this](std::string& bytes) { bytes[frames().back().offset + kFrameHeader] ^= 1; };
  EXPECT_EQ(try_with(flip), "");
  options_.known_durable = Position{1, Lsn(100), 1};
  EXPECT_THAT(try_with(flip), HasSubstr("0000000001.seg at offset " + std::to_string(frames().back().offset)));
}

TEST_F(DamageTest, MakesWhatADeadProcessWroteDurableBeforeItBuildsOnIt) {
  transaction(100);
  log_->sync();
  transaction(200, std::string(1'100'000, 'x'));
  // The process dies when part of it is written and nothing synced; another size makes the next one begin a segment.
  options_.segment_bytes = 4 << 20;
  open();
  files_.lose_unsynced();
  open();
  EXPECT_EQ(ends(), std::vector<std::uint64_t>{100});
}

TEST_F(DamageTest, RefusesASegmentWithoutAHeader) {
  transaction(100);
  log_->sync();
  EXPECT_THAT(try_with([](std::string& bytes) { bytes[40] ^= 1; }), HasSubstr("0000000001.seg at offset 0"));
}

TEST_F(DamageTest, RefusesAJournalThatIsGone) {
  transaction(100);
  log_->sync();
  log_.reset();
  files_.remove("/journal/" + segment_name(1));
  options_.known_durable = Position{1, Lsn(100), 1};
  EXPECT_THAT(error_of_opening(), HasSubstr("is gone"));
}

TEST_F(DamageTest, RefusesAGapBetweenSegments) {
  for (std::uint64_t end = 100; end < 1500; end += 100) transaction(end, std::string(400'000, 'x'));
  log_->sync();
  log_.reset();
  files_.remove("/journal/" + segment_name(2));
  EXPECT_THAT(error_of_opening(), HasSubstr("0000000002.seg"));
}

TEST_F(DamageTest, ReaderNamesDamageInSealedSegments) {
  options_.ring_bytes = 1;
  open();
  for (std::uint64_t end = 100; end < 1500; end += 100) transaction(end, std::string(400'000, 'x'));
  log_->sync();
  open();
  segment(1)[1'000'000] ^= 1;
  auto reader = log_->reader({});
  const auto read_on = [&] {
    while (reader->next({}, {}, std::chrono::milliseconds(0))) {
    }
  };
  EXPECT_THROW(read_on(), CorruptionError);
}

TEST_F(DamageTest, NeverTrustsASegmentAgainAfterAFailedSync) {
  transaction(100);
  log_->sync();
  transaction(200);
  files_.fail_sync = 1;
  EXPECT_THROW(log_->sync(), CorruptionError);
  EXPECT_EQ(log_->durable_end(), Lsn(100));
  EXPECT_EQ(ends(), std::vector<std::uint64_t>{100});
  EXPECT_THROW(log_->sync(), CorruptionError);
  EXPECT_THROW(log_->begin(Xid(1)), CorruptionError);
  // The kernel still shows the bytes that never reached the disk.
  open();
  EXPECT_EQ(log_->end().commit_end, Lsn(100));
  EXPECT_EQ(ends(), std::vector<std::uint64_t>{100});
  transaction(300);
  log_->sync();
  files_.lose_unsynced();
  open();
  EXPECT_EQ(ends(), (std::vector<std::uint64_t>{100, 300}));
}

TEST_F(DamageTest, NotesAFailedSyncAlsoAtTheSizeLimit) {
  options_.max_bytes = 8 << 20;
  open();
  for (std::uint64_t end = 100; log_->stat().segments < 4; end += 100) transaction(end, std::string(400'000, 'x'));
  log_->sync();
  const Lsn durable = log_->durable_end();
  transaction(durable.value() + 100);
  files_.fail_sync = 1;
  EXPECT_THROW(log_->sync(), CorruptionError);
  open();
  EXPECT_EQ(log_->durable_end(), durable);
}

TEST_F(DamageTest, StaysWholeWhenTheDiskIsFull) {
  transaction(100);
  log_->sync();
  files_.no_space = true;
  transaction(200);
  EXPECT_THROW(log_->sync(), RetryError);
  EXPECT_EQ(log_->durable_end(), Lsn(100));
  files_.no_space = false;
  EXPECT_EQ(log_->sync(), Lsn(200));
  open();
  EXPECT_EQ(ends(), (std::vector<std::uint64_t>{100, 200}));
}

TEST_F(DamageTest, AVeryLongMessageOfASpillGoesOnWhereTheDiskWasFull) {
  const auto resolver = [](ByteView message) { return table(pgoutput::parse_relation(message).oid.value()); };
  options_.spill_memory = 1 << 20;
  open();
  std::string huge(6 << 20, 'h');
  for (std::size_t at = 0; at < huge.size(); at += 4099) huge[at] = static_cast<char>('a' + at % 26);
  int met = 0;
  for (int write = 1; write <= 9; ++write) {
    auto spill = log_->open_spill(Xid(5));
    spill->append(Xid(5), test::relation_message(7));
    files_.fill_at_write = write;
    try {
      spill->append(Xid(5), insert(7, huge));
    } catch (const RetryError&) {
      ++met;
      EXPECT_THROW(spill->append(Xid(5), insert(7, huge)), RetryError);
      files_.no_space = false;
      spill->append(Xid(5), insert(7, huge));
    }
    files_.fill_at_write = 0;
    spill->append(Xid(5), insert(7, "end"));
    CommitRecord record;
    record.end_lsn = Lsn(static_cast<std::uint64_t>(100 * write));
    log_->adopt(*spill, record, resolver);
  }
  EXPECT_GE(met, 4);
  log_->sync();
  auto reader = log_->reader({});
  int found = 0;
  while (const auto batch = reader->next({.max_changes = 10, .max_bytes = 1 << 30}, {}, std::chrono::milliseconds(0))) {
    if (batch->changes.empty()) continue;
    ASSERT_EQ(batch->changes.size(), 2u);
    EXPECT_TRUE(batch->changes[0].new_row.begin().next().bytes == huge);
    EXPECT_EQ(batch->changes[1].new_row.begin().next().bytes, "end");
    ++found;
  }
  EXPECT_EQ(found, 9);
}

/// Power cuts between any two steps of a trim that takes several segments.
TEST_F(DamageTest, TrimmingLeavesAWholeJournalAtAnyPowerCut) {
  const auto resolver = [](ByteView message) { return table(pgoutput::parse_relation(message).oid.value()); };
  options_.spill_memory = 64 << 10;
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    log_.reset();
    files_ = MemoryFiles();
    open();
    std::uint64_t end = 100;
    for (; log_->stat().segments < 6; end += 100) {
      transaction(end, std::string(500'000, 'x'));
      auto spill = log_->open_spill(Xid(2));
      spill->append(Xid(2), test::relation_message(7));
      for (int i = 0; i < 10; ++i) spill->append(Xid(2), insert(7, std::string(50'000, 'x')));
      CommitRecord record;
      record.end_lsn = Lsn(end + 50);
      log_->adopt(*spill, record, resolver);
      log_->sync();
    }
    const auto before = ends();
    files_.fail_sync = static_cast<int>(seed % 6);
    try {
      log_->set_retention(log_->end(), std::chrono::seconds(0));
    } catch (const CorruptionError&) {
    }
    const auto trimmed = ends();
    log_.reset();
    files_.fail_sync = 0;
    files_.power_cut(random);
    open();
    const auto found = ends();
    ASSERT_GE(found.size(), trimmed.size());
    ASSERT_TRUE(std::equal(found.rbegin(), found.rend(), before.rbegin()));
  }
}

/// Power cuts between any two steps of an adoption.
TEST_F(DamageTest, AdoptionIsWholeOrAbsentAtAnyPowerCut) {
  options_.spill_memory = 64 << 10;
  const auto resolver = [](ByteView message) { return table(pgoutput::parse_relation(message).oid.value()); };
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    log_.reset();
    files_ = MemoryFiles();
    open();
    transaction(100);
    log_->sync();
    auto spill = log_->open_spill(Xid(2));
    spill->append(Xid(2), test::relation_message(7));
    for (int i = 0; i < 10; ++i) spill->append(Xid(2), insert(7, std::string(50'000, 'x')));
    CommitRecord record;
    record.end_lsn = Lsn(200);
    // The steps that sync are: the file, the directory, the segment.
    files_.fail_sync = static_cast<int>(seed % 4);
    bool durable = false;
    try {
      log_->adopt(*spill, record, resolver);
      log_->sync();
      durable = true;
    } catch (const CorruptionError&) {
    }
    spill.reset();
    log_.reset();
    files_.fail_sync = 0;
    files_.power_cut(random);
    open();
    const auto found = ends();
    ASSERT_EQ(found.front(), 100U);
    ASSERT_EQ(found.back(), durable || found.size() == 2 ? 200U : 100U);
    std::size_t files = 0;
    for (const std::string& name : files_.list("/journal")) files += name.ends_with(".txn") ? 1 : 0;
    // When the failure could be noted, the file goes with the segment that it was meant for.
    if (files_.list("/journal").size() - files == 1) {
      ASSERT_EQ(files, found.size() - 1) << "a file that nothing names stays behind";
    }
    ASSERT_TRUE(files_.list("/spill").empty());
  }
}

}  // namespace
}  // namespace tailrace::journal
