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
  constexpr int kWideRows = 1000;
  const auto apply_all = [&] {
    Clock clock;
    for (int at = 0; at < kWideRows; at += 100) {
      Batch part(clock);
      part.begin(at == 0, at + 100 == kWideRows).from_ordinal(static_cast<std::uint64_t>(at));
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

// DuckDB holds more for them than the limit, whatever their rows are.
TEST(MemoryBudget, ATransactionOverManyTablesIsGivenWhatItNeedsBeforehandUntilTheNextCheckpoint) {
  constexpr std::uint32_t kTables = 100;
  DuckdbSpec spec;
  spec.memory_limit = 24ULL << 20;
  Target target(spec);
  std::vector<RelationPtr> tables;
  std::vector<std::pair<RelationPtr, std::vector<Row>>> copies;
  for (std::uint32_t n = 0; n < kTables; ++n) {
    tables.push_back(table("t" + std::to_string(n), {{"id", 20, -1, 1}, {"v"}}, ReplicaIdentity::kDefault, 16384 + n));
    copies.push_back({tables.back(), {{"0", "old"}}});
  }
  target.copy(copies);
  Clock clock;
  Batch batch(clock);
  batch.begin();
  for (const RelationPtr& t : tables) batch.update(t, {"0", "changed"}).insert(t, {"1", "new"});
  target.apply(batch);
  EXPECT_EQ(target.query("SELECT current_setting('memory_limit')").front(), "72.0 MiB");
  for (const auto& name : {"public.t0", "public.t99"})
    EXPECT_THAT(target.rows(name), ElementsAre("0|changed", "1|new"));
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  target.sink().maintain();
  EXPECT_EQ(target.query("SELECT current_setting('memory_limit')").front(), "24.0 MiB");
}

TEST(MemoryBudget, TablesAreCountedOnceUntilACheckpointAndNotBeyondABound) {
  MemoryBudget budget(kMemory);
  budget.hold(Oid(1), kMemory / 2);
  budget.hold(Oid(1), kMemory / 2);
  EXPECT_EQ(budget.held(), kMemory / 2);
  EXPECT_EQ(budget.factor_needed(), 0u);
  budget.hold(Oid(2), 1);
  EXPECT_TRUE(budget.crowded());
  ASSERT_EQ(budget.factor_needed(), 2u);
  EXPECT_EQ(budget.raise(2), 2 * kMemory);
  EXPECT_EQ(budget.factor_needed(), 0u);
  budget.hold(Oid(3), 14 * kMemory);
  EXPECT_EQ(budget.factor_needed(), 16u);
  EXPECT_TRUE(MemoryBudget::allowed(16));
  budget.hold(Oid(4), kMemory);
  EXPECT_FALSE(MemoryBudget::allowed(budget.factor_needed()));
  EXPECT_EQ(budget.times_missing(), 2u);
  budget.released();
  EXPECT_FALSE(budget.crowded());
  EXPECT_EQ(budget.written_tables(), 0u);
}

}  // namespace
}  // namespace tailrace::duckdb::test
