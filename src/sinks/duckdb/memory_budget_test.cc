#include "sinks/duckdb/memory_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;

constexpr std::uint64_t kMemory = 64ULL << 20;

DuckdbSpec little_memory() {
  DuckdbSpec spec;
  spec.memory_limit = kMemory;
  return spec;
}

TEST(MemoryBudget, ARowTooLargeIsALetterAndTheRestOfTheBatchLands) {
  Target target(little_memory());
  const auto t = items();
  const auto log = table("log", {{"v"}}, ReplicaIdentity::kNothing, 20000);
  const std::string huge(kMemory / 2, 'z');
  target.copy({{t, {{"1", "a", "x"}, {"2", "b", huge}}}, {log, {}}});
  EXPECT_EQ(target.sink().take_dead_letters().size(), 1u);
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(t, {"3", "c", huge}).insert(t, {"4", "d", "y"}).insert(log, {huge}).insert(log, {"small"});
  batch.begin().update(t, {"1", "a2", huge}).update(t, {"2", "b2", kUnchanged});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "4|d|y"));
  EXPECT_THAT(target.rows("public.log"), ElementsAre("small"));
  const sinks::Counters counters = target.sink().counters();
  EXPECT_EQ(counters.received, 6u);
  EXPECT_EQ(counters.applied, 2u);
  EXPECT_EQ(counters.dead_lettered, 4u);
  const auto letters = target.sink().take_dead_letters();
  ASSERT_EQ(letters.size(), 4u);
  EXPECT_THAT(letters.front().reason, ::testing::HasSubstr("too large"));
}

// 2,048 rows of this width are more than the limit, and DuckDB writes so many at once when it commits.
TEST(MemoryBudget, ATransactionOfManyWideRowsIsDoneWithMoreMemory) {
  Target target(little_memory());
  const auto t = items();
  target.copy({{t, {}}});
  const std::string wide(100'000, 'w');
  constexpr int kRows = 1000;
  const auto apply_all = [&] {
    Clock clock;
    for (int at = 0; at < kRows; at += 100) {
      Batch part(clock);
      part.begin(at == 0, at + 100 == kRows).from_ordinal(static_cast<std::uint64_t>(at));
      for (int n = at; n < at + 100; ++n) part.insert(t, {std::to_string(n), "v", wide});
      target.sink().apply(part.done());
    }
    target.sink().flush();
  };
  EXPECT_THROW(apply_all(), RetryError);
  int tries = 1;
  for (bool done = false; !done; ++tries) {
    ASSERT_LT(tries, 5);
    target.sink().open();
    try {
      apply_all();
      done = true;
    } catch (const RetryError&) {
      continue;
    }
  }
  EXPECT_EQ(target.query("SELECT count(*)::VARCHAR FROM public.items").front(), "1000");
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  target.sink().maintain();
  EXPECT_EQ(target.query("SELECT current_setting('memory_limit')").front(), "64.0 MiB");
}

}  // namespace
}  // namespace tailrace::duckdb::test
