#include "pipeline/sink_meter.h"

#include <gtest/gtest.h>

#include <initializer_list>

#include "pipeline/test_parts.h"

namespace tailrace::pipeline {
namespace {

using std::chrono_literals::operator""ms;

/// Changes of one table, with rows of nothing.
ChangeBatch batch_of(const RelationPtr& table, std::initializer_list<ChangeKind> kinds) {
  ChangeBatch batch;
  batch.relations.push_back(table);
  for (const ChangeKind kind : kinds) {
    Change& change = batch.changes.emplace_back();
    change.kind = kind;
    change.relation = kind == ChangeKind::kMessage ? nullptr : table.get();
  }
  return batch;
}

TEST(SinkMeterTest, CountsWhatBecameDurableByKindAndTable) {
  SinkMeter meter;
  meter.applied(batch_of(test::text_table(1), {ChangeKind::kInsert, ChangeKind::kUpdate, ChangeKind::kMessage}), 10ms);
  EXPECT_EQ(meter.look().changes, 0u);
  meter.applied(batch_of(test::text_table(2), {ChangeKind::kInsert, ChangeKind::kDelete, ChangeKind::kTruncate}), 20ms);
  meter.flushed(30ms, PgTime::now());
  const SinkCounts counts = meter.look();
  EXPECT_EQ(counts.batches, 1u);
  EXPECT_EQ(counts.changes, 6u);
  EXPECT_EQ(counts.busy, std::chrono::microseconds(60ms));
  EXPECT_EQ(counts.operations, (OperationCounts{2, 1, 1, 1, 1}));
  ASSERT_EQ(counts.tables.size(), 2u);
  EXPECT_EQ(counts.tables.at("public.t1"), (OperationCounts{.inserts = 1, .updates = 1}));
  EXPECT_EQ(counts.tables.at("public.t2"), (OperationCounts{.inserts = 1, .deletes = 1, .truncates = 1}));
}

TEST(SinkMeterTest, ABatchThatIsTriedAgainCountsOnce) {
  SinkMeter meter;
  const ChangeBatch batch = batch_of(test::text_table(1), {ChangeKind::kInsert});
  meter.applied(batch, 1ms);
  meter.rolled_back();
  meter.applied(batch, 1ms);
  meter.flushed(1ms, PgTime::now());
  EXPECT_EQ(meter.look().changes, 1u);
  EXPECT_EQ(meter.look().tables.at("public.t1").inserts, 1u);
  // Progress without changes is no batch.
  meter.applied(ChangeBatch(), 1ms);
  meter.flushed(1ms, PgTime::now());
  EXPECT_EQ(meter.look().batches, 1u);
  EXPECT_EQ(meter.look().lag.total, 1u);
}

TEST(SinkMeterTest, ADescriptionIsNoChangeOfATable) {
  SinkMeter meter;
  meter.applied(batch_of(test::text_table(1), {ChangeKind::kDescription}), 1ms);
  meter.flushed(1ms, PgTime::now());
  EXPECT_TRUE(meter.look().tables.empty());
}

TEST(SinkMeterTest, ErrorsAreCountedByWhereTheyArose) {
  SinkMeter meter;
  for (const char* code : {"TR601", "TR607", "TR402", "TR101", "TR516", "TR310", "TR900"}) meter.failed(code);
  const std::map<std::string, std::uint64_t> expected = {{"target", 2}, {"log", 1},     {"source", 1},
                                                         {"state", 1},  {"parsing", 1}, {"defect", 1}};
  EXPECT_EQ(meter.look().errors, expected);
}

TEST(SinkMeterTest, LagsStandBelowTheFirstBoundThatIsNotLess) {
  LagHistogram lag;
  lag.observe(0.01);
  lag.observe(0.011);
  lag.observe(1e6);
  EXPECT_EQ(lag.counts[0], 1u);
  EXPECT_EQ(lag.counts[1], 1u);
  EXPECT_EQ(lag.total, 3u);
  EXPECT_DOUBLE_EQ(lag.seconds, 1e6 + 0.021);
}

}  // namespace
}  // namespace tailrace::pipeline
