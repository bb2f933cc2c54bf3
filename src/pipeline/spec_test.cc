#include "pipeline/spec.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace tailrace::pipeline {
namespace {

TEST(PipelineSpec, MemoryIsDividedWithoutASumAboveTheWhole) {
  for (const std::uint64_t memory : {256ULL << 20, 512ULL << 20, 4ULL << 30}) {
    for (const std::size_t sinks : {1U, 2U}) {
      const MemorySplit split = split_memory(memory, sinks);
      EXPECT_LT(split.ring + split.spills + sinks * (split.batch + split.sink), memory);
      EXPECT_GE(split.sink, 32ULL << 20);
    }
  }
}

TEST(PipelineSpec, NamesFitSlotsAndDirectories) {
  EXPECT_NO_THROW(check_name("shop_2"));
  for (const char* name : {"", "Shop", "a-b", "a/b", "..", "ä"}) EXPECT_THROW(check_name(name), BadConfigError) << name;
  EXPECT_THROW(check_name(std::string(51, 'a')), BadConfigError);
}

TEST(PipelineSpec, TheOnlySinkWithSqlNeedsNoName) {
  const auto answer = [](const QueryRequest&, const QueryOutput&, std::stop_token) {};
  PipelineSpec spec;
  spec.name = "shop";
  EXPECT_THROW(queryable_sink(spec, ""), BadConfigError);
  spec.sinks.resize(3);
  spec.sinks[0].name = "mute";
  spec.sinks[1].name = "a";
  spec.sinks[1].query = answer;
  EXPECT_EQ(queryable_sink(spec, "").name, "a");
  EXPECT_THROW(queryable_sink(spec, "mute"), BadConfigError);
  EXPECT_THROW(queryable_sink(spec, "nobody"), BadConfigError);
  spec.sinks[2].name = "b";
  spec.sinks[2].query = answer;
  EXPECT_THROW(queryable_sink(spec, ""), BadConfigError);
  EXPECT_EQ(queryable_sink(spec, "b").name, "b");
}

TEST(PipelineSpec, KeepsNothingForReadersWhenThereIsNoSink) {
  EXPECT_EQ(split_memory(512ULL << 20, 0).ring, 0U);
  EXPECT_GT(split_memory(512ULL << 20, 1).ring, 0U);
}

}  // namespace
}  // namespace tailrace::pipeline
