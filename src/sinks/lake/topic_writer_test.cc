#include "sinks/lake/topic_writer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <span>

#include "model/batch_for_test.h"
#include "sinks/lake/lake_target.h"
#include "sinks/lake/local_store.h"

namespace tailrace::lake::test {
namespace {

using sinks::RowChange;
using sinks::RowOperation;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TopicWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "tailrace-topics-XXXXXX").string();
    spec_.directory = ::mkdtemp(name.data());
    spec_.form = file_form(Format::kJsonLines, Codec::kDefault);
    ConnectOptions options;
    options.flush_rows = 10;
    options.rotate_schedule = -1;
    spec_.connect = std::make_shared<ConnectLayout>(options);
    start();
  }
  void TearDown() override {
    writer_.reset();
    target_.reset();
    std::filesystem::remove_all(spec_.directory);
  }

  void start() {
    writer_.reset();
    target_ = std::make_unique<LakeTarget>(spec_);
    target_->open();
    writer_ = target_->writer();
  }
  /// As a table whose copy is complete, without a row.
  void make(const RelationPtr& relation) {
    target_->make_table(*relation, false);
    writer_->write({}, {{"cursor", "0"}});
  }
  /// Rows of these ids, one step for each.
  void insert(const RelationPtr& relation, int first, int last) {
    for (int id = first; id <= last; ++id) {
      RowForTest values(relation->columns.size());
      values[0] = std::to_string(id);
      const std::string row = tuple_bytes(values);
      RowChange change;
      change.relation = relation.get();
      change.position = {1, Lsn(static_cast<std::uint64_t>(id)), 0};
      change.seq = Seq(static_cast<std::uint64_t>(id));
      change.new_row = TupleView(row);
      writer_->write(std::span(&change, 1), {{"cursor", std::to_string(id)}});
    }
  }
  std::vector<std::string> files() { return LocalStore(spec_.directory).list("topics/"); }
  std::int64_t rows_of(const std::string& path) {
    const std::string text = LocalStore(spec_.directory).read(path);
    return std::ranges::count(text, '\n');
  }
  static std::string path_of(std::uint64_t offset) {
    return fmt::format("topics/public.items/partition=0/public.items+0+{:010}.json", offset);
  }

  LakeSpec spec_;
  std::unique_ptr<LakeTarget> target_;
  std::unique_ptr<sinks::RowWriter> writer_;
};

TEST_F(TopicWriterTest, AnOpenFileGoesOnAfterARestartThoughTheCatalogWasReadAgain) {
  const RelationPtr before = tailrace::test::items();
  make(before);
  insert(before, 1, 6);
  start();
  EXPECT_THAT(files(), IsEmpty());
  auto after = std::make_shared<Relation>(*before);
  after->as_of = Lsn(4711);
  after->storage = 12;
  insert(after, 7, 9);
  EXPECT_THAT(files(), IsEmpty());
  start();
  insert(after, 10, 11);
  EXPECT_THAT(files(), ElementsAre(path_of(0)));
  EXPECT_EQ(rows_of(path_of(0)), 10);
  start();
  insert(after, 12, 20);
  EXPECT_THAT(files(), ElementsAre(path_of(0), path_of(10)));
  EXPECT_EQ(rows_of(path_of(10)), 10);
}

TEST_F(TopicWriterTest, RowsOfAnotherVersionBeginAFileOfTheirOwnAfterARestart) {
  const RelationPtr before = tailrace::test::items();
  make(before);
  insert(before, 1, 6);
  start();
  auto after = std::make_shared<Relation>(*before);
  after->columns.pop_back();
  insert(after, 7, 9);
  EXPECT_THAT(files(), ElementsAre(path_of(0)));
  EXPECT_EQ(rows_of(path_of(0)), 6);
  insert(after, 10, 16);
  EXPECT_THAT(files(), ElementsAre(path_of(0), path_of(6)));
}

TEST_F(TopicWriterTest, WhatARewindBringsAgainIsLeftOut) {
  const RelationPtr relation = tailrace::test::items();
  make(relation);
  insert(relation, 1, 6);
  insert(relation, 2, 9);
  EXPECT_THAT(files(), IsEmpty());
  start();
  insert(relation, 1, 10);
  EXPECT_THAT(files(), ElementsAre(path_of(0)));
  EXPECT_EQ(rows_of(path_of(0)), 10);
}

}  // namespace
}  // namespace tailrace::lake::test
