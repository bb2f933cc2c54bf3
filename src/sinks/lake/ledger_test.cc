#include "sinks/lake/ledger.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error_code_for_test.h"
#include "sinks/lake/local_store.h"
#include "sinks/lake/object_names.h"

namespace tailrace::lake::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LedgerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "tailrace-lake-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  Ledger opened() {
    Ledger ledger(std::make_unique<LocalStore>(root_));
    ledger.open();
    return ledger;
  }
  static std::string path_of(std::uint64_t n) {
    return "public/items/" + range_name({1, Lsn(n), 0}, {1, Lsn(n), 0}) + ".jsonl";
  }
  CommitRecord step(Ledger& ledger, std::uint64_t n) {
    CommitRecord record;
    record.changes["cursor"] = std::to_string(n);
    record.objects = {{.path = path_of(n),
                       .token = ledger.store().stage(path_of(n), "object " + std::to_string(n)),
                       .table = "public.items",
                       .rows = 1}};
    return record;
  }
  std::vector<std::string> objects() { return LocalStore(root_).list("public/"); }
  std::vector<std::string> staged() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "_staged")) names.push_back(entry.path());
    return names;
  }
  /// As if the process had died between the decision and what follows from it.
  void undo(std::uint64_t n) {
    LocalStore store(root_);
    store.remove("_state/000000000000000" + std::to_string(n) + ".done");
    store.remove("_manifest/000000000000000" + std::to_string(n) + ".json");
  }

  std::filesystem::path root_;
};

TEST_F(LedgerTest, AStepMakesItsObjectsSeenAndIsRemembered) {
  Ledger ledger = opened();
  ledger.settle();
  ledger.commit(step(ledger, 5));
  EXPECT_THAT(objects(), ElementsAre(path_of(5)));
  EXPECT_EQ(LocalStore(root_).read(path_of(5)), "object 5");
  EXPECT_THAT(staged(), IsEmpty());
  EXPECT_EQ(opened().last().state.at("cursor"), "5");
  EXPECT_NE(LocalStore(root_).read("_manifest/0000000000000001.json").find(path_of(5)), std::string::npos);
}

TEST_F(LedgerTest, WhatIsStagedIsSeenByNobodyAndGoesWhenNoStepNamesIt) {
  Ledger ledger = opened();
  ledger.settle();
  step(ledger, 5);
  EXPECT_THAT(objects(), IsEmpty());
  EXPECT_EQ(staged().size(), 1U);
  opened().settle();
  EXPECT_THAT(staged(), IsEmpty());
}

TEST_F(LedgerTest, AStepThatWasDecidedIsWorkedOffBySomebodyLater) {
  Ledger ledger = opened();
  ledger.settle();
  const CommitRecord record = step(ledger, 5);
  CommitRecord decided = record;
  decided.number = decided.base = 1;
  apply_changes(decided.changes, decided.state);
  ASSERT_TRUE(ledger.store().create("_state/0000000000000001", encode(decided)));
  Ledger next = opened();
  EXPECT_EQ(next.last().state.at("cursor"), "5");
  EXPECT_THAT(objects(), IsEmpty()) << "opening changes nothing";
  next.settle();
  EXPECT_THAT(objects(), ElementsAre(path_of(5)));
  undo(1);
  opened().settle();
  EXPECT_THAT(objects(), ElementsAre(path_of(5))) << "working it off again is without effect";
}

TEST_F(LedgerTest, AnObjectThatIsNeitherStagedNorThereIsNamed) {
  Ledger ledger = opened();
  ledger.settle();
  ledger.commit(step(ledger, 5));
  undo(1);
  std::filesystem::remove(root_ / path_of(5));
  Ledger next = opened();
  EXPECT_EQ(code_of([&next] { next.settle(); }), "TR856");
}

TEST_F(LedgerTest, ObjectsMayBeTakenAwayOnceTheyWereSeen) {
  Ledger ledger = opened();
  ledger.settle();
  ledger.commit(step(ledger, 5));
  std::filesystem::remove(root_ / path_of(5));
  Ledger next = opened();
  next.settle();
  next.commit(step(next, 6));
  EXPECT_THAT(objects(), ElementsAre(path_of(6)));
}

TEST_F(LedgerTest, AFolderIsEmptiedOfOurObjectsOnly) {
  Ledger ledger = opened();
  ledger.settle();
  ledger.commit(step(ledger, 5));
  std::ofstream(root_ / "public/items/notes.txt") << "mine";
  CommitRecord record;
  record.emptied = {"public/items/"};
  ledger.commit(record);
  EXPECT_THAT(objects(), ElementsAre("public/items/notes.txt"));
}

TEST_F(LedgerTest, TwoCannotMakeOneStepAndTheSlowerOneStops) {
  Ledger one = opened();
  one.settle();
  Ledger other = opened();
  one.commit(step(one, 5));
  EXPECT_EQ(code_of([&] { other.commit(step(other, 6)); }), "TR855");
  one.commit(step(one, 7));
  one.commit(step(one, 8));
  // Records of steps that are done are gone: the number is free again, and still nothing is seen of it.
  EXPECT_EQ(code_of([&] { other.commit(step(other, 9)); }), "TR855");
  EXPECT_THAT(objects(), ElementsAre(path_of(5), path_of(7), path_of(8)));
  EXPECT_EQ(opened().last().state.at("cursor"), "8");
}

TEST_F(LedgerTest, ALargeStateIsWrittenWholeNowAndThenAndAsChangesBetween) {
  Ledger ledger = opened();
  ledger.settle();
  CommitRecord first;
  for (int n = 0; n < 1000; ++n) first.changes["letter:" + std::to_string(n)] = std::string(50, 'x');
  ledger.commit(first);
  std::uintmax_t largest = 0;
  std::size_t records = 0;
  for (std::uint64_t n = 2; n <= 100; ++n) {
    CommitRecord record;
    record.changes["cursor"] = std::to_string(n);
    record.changes["letter:" + std::to_string(n)].reset();
    ledger.commit(record);
    if (n > 60 && n < 66)
      largest = std::max(largest, std::filesystem::file_size(root_ / fmt::format("_state/{:016x}", n)));
    if (n == 60) {
      EXPECT_LT(std::filesystem::file_size(root_ / fmt::format("_state/{:016x}", n)), 300U);
    }
    const sinks::StateMap there = opened().last().state;
    ASSERT_EQ(there.at("cursor"), std::to_string(n));
    ASSERT_EQ(there.size(), 1000 - n + 2);
    ASSERT_EQ(there.count("letter:" + std::to_string(n)), 0U);
    records = std::max(records, LocalStore(root_).list("_state/").size());
  }
  EXPECT_GT(largest, 50000U) << "after 64 changes it is whole again";
  EXPECT_LE(records, 65U);
  std::filesystem::remove(root_ / fmt::format("_state/{:016x}", 90));
  EXPECT_EQ(code_of([this] { opened(); }), "TR854");
}

TEST_F(LedgerTest, ARecordThatIsDamagedIsNamed) {
  Ledger ledger = opened();
  ledger.settle();
  ledger.commit(step(ledger, 5));
  const std::filesystem::path file = root_ / "_state/0000000000000001";
  std::string bytes = LocalStore(root_).read("_state/0000000000000001");
  bytes[bytes.size() / 2] ^= 1;
  std::ofstream(file, std::ios::binary) << bytes;
  EXPECT_EQ(code_of([this] { opened(); }), "TR854");
}

TEST_F(LedgerTest, ARecordIsReadAsItWasWritten) {
  CommitRecord record;
  record.number = record.base = 7;
  record.state = {{"a", std::string("\0b", 2)}, {"c", ""}};
  record.tables[16384] = {"public.items", "public/items/", Seq(99)};
  record.emptied = {"x/"};
  record.objects = {{"p", "t", "public.items", {1, Lsn(2), 3}, {1, Lsn(5), 6}, 10, 20}};
  const CommitRecord read = decode(encode(record));
  EXPECT_EQ(encode(read), encode(record));
  EXPECT_EQ(read.tables.at(16384).through, Seq(99));
  EXPECT_EQ(read.objects.front().last, (Position{1, Lsn(5), 6}));
  const std::string bytes = encode(record);
  for (std::size_t end = 0; end < bytes.size(); ++end)
    EXPECT_EQ(code_of([&] { decode(std::string_view(bytes).substr(0, end)); }), "TR854") << end;
}

}  // namespace
}  // namespace tailrace::lake::test
