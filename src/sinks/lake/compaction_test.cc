#include "sinks/lake/compaction.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "sinks/lake/local_store.h"

namespace tailrace::lake::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class CompactorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "tailrace-merging-XXXXXX").string();
    spec_.directory = ::mkdtemp(name.data());
    spec_.form = file_form(Format::kJsonLines, Codec::kDefault);
    spec_.compact_files = 3;
    SmallGroup& group = small_["public/items/"];
    group.table = "public.items";
    for (std::uint64_t n = 1; n <= 3; ++n) {
      const Position at{1, Lsn(n), 0};
      const std::string path = "public/items/" + range_name(at, at) + ".jsonl";
      LocalStore(spec_.directory).write(path, fmt::format("{{\"id\": {}}}\n", n));
      group.objects.push_back({path, at, at, 1, 10, 0});
    }
  }
  void TearDown() override { std::filesystem::remove_all(spec_.directory); }

  std::vector<std::string> staged() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(spec_.directory / "_staged"))
      names.push_back(entry.path());
    return names;
  }

  LakeSpec spec_;
  SmallObjects small_;
};

TEST_F(CompactorTest, WhatWasMergedIsStagedUntilAStepNamesIt) {
  Compactor compactor(spec_);
  EXPECT_TRUE(compactor.has_something(small_));
  compactor.start(small_, nullptr);
  while (!compactor.has_something(small_)) std::this_thread::yield();
  const std::optional<Merged> merged = compactor.take();
  ASSERT_TRUE(merged);
  EXPECT_THAT(staged(), SizeIs(1));
  EXPECT_THAT(merged->replaced, SizeIs(3));
  LocalStore store(spec_.directory);
  ASSERT_TRUE(store.publish(merged->object.path, merged->object.token));
  EXPECT_EQ(store.read(merged->object.path), "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3}\n");
}

TEST_F(CompactorTest, AMergeThatNobodyTakesLeavesNothingStaged) {
  {
    Compactor compactor(spec_);
    compactor.start(small_, nullptr);
    compactor.drop();
    EXPECT_THAT(staged(), IsEmpty());
    EXPECT_TRUE(compactor.has_something(small_));
    compactor.start(small_, nullptr);
  }
  EXPECT_THAT(staged(), IsEmpty());
}

TEST_F(CompactorTest, AMergeThatTheFileSystemStopsEndsInTheLogAlone) {
  // A link to itself: whether it is a directory cannot be said.
  std::filesystem::remove_all(spec_.directory / "_staged");
  std::filesystem::create_symlink("_staged", spec_.directory / "_staged");
  ::testing::internal::CaptureStderr();
  {
    Compactor compactor(spec_);
    compactor.start(small_, nullptr);
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("files of public/items/ stay small"));
}

}  // namespace
}  // namespace tailrace::lake::test
