#include "sinks/clickhouse/tables.h"

#include <gtest/gtest.h>

#include "model/batch_for_test.h"
#include "sinks/clickhouse/clickhouse_target.h"

namespace tailrace::clickhouse {
namespace {

using sinks::RowStyle;

TableFacts facts(const std::string& engine, std::vector<TableFacts::Column> columns) {
  TableFacts made;
  made.engine = engine;
  made.engine_full = engine + "(_version, _deleted) ORDER BY id";
  made.sorting_key = "id";
  made.columns = std::move(columns);
  return made;
}

std::vector<TableFacts::Column> items_there() {
  return {{.name = "id", .type = "UInt64", .in_sorting_key = true},
          {.name = "v", .type = "Nullable(String)"},
          {.name = "big", .type = "String"},
          {.name = "_version", .type = "UInt64"},
          {.name = "_deleted", .type = "UInt8"}};
}

TEST(ClickhouseTableTest, IsMadeWithItsKeyAndWhoseItIs) {
  EXPECT_EQ(create_sql(*test::items(), RowStyle::kState, "`db`.`items`", "mark"),
            "CREATE TABLE `db`.`items` (`id` Int64, `v` Nullable(String), `big` Nullable(String), `_version` UInt64, "
            "`_deleted` UInt8) "
            "ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY (`id`) SETTINGS fsync_after_insert = 1, "
            "fsync_part_directory = 1 "
            "COMMENT 'mark'");
}

TEST(ClickhouseTableTest, ThatIsThereFitsByNamesTypesEngineAndOrder) {
  const RelationPtr items = test::items();
  EXPECT_EQ(misfit(*items, facts("ReplacingMergeTree", items_there()), RowStyle::kState), "");
  EXPECT_EQ(misfit(*items, facts("SharedReplacingMergeTree", items_there()), RowStyle::kState), "");
  EXPECT_NE(misfit(*items, facts("MergeTree", items_there()), RowStyle::kState).find("MergeTree"), std::string::npos);
  auto columns = items_there();
  columns[1].type = "Int32";
  EXPECT_NE(misfit(*items, facts("ReplacingMergeTree", columns), RowStyle::kState).find("column v is"),
            std::string::npos);
  columns = items_there();
  columns.erase(columns.begin() + 2);
  EXPECT_NE(misfit(*items, facts("ReplacingMergeTree", columns), RowStyle::kState).find("column big"),
            std::string::npos);
  columns = items_there();
  columns[1].in_sorting_key = true;
  EXPECT_NE(misfit(*items, facts("ReplacingMergeTree", columns), RowStyle::kState).find("in the order there"),
            std::string::npos);
  columns = items_there();
  columns[1].in_partition_key = true;
  EXPECT_NE(misfit(*items, facts("ReplacingMergeTree", columns), RowStyle::kState).find("partitioned by v"),
            std::string::npos)
      << "a row would be in two partitions";
  columns = items_there();
  columns[3].type = "Int64";
  EXPECT_NE(misfit(*items, facts("ReplacingMergeTree", columns), RowStyle::kState).find("_version"), std::string::npos);
  columns = items_there();
  columns[1].computed = true;
  EXPECT_NE(misfit(*items, facts("ReplacingMergeTree", columns), RowStyle::kState).find("column v"), std::string::npos);
}

TEST(ClickhouseTableTest, FollowsChangesOfColumnsThatCanComeTwice) {
  const RelationPtr before = test::items();
  const RelationPtr after = test::table("items", {{"id", 20, -1, 1}, {"w"}, {"n", 23}, {"u", 2950}});
  SchemaChange change;
  change.kept = {{0, 0}, {1, 1}};
  change.dropped = {2};
  change.added = {{2, "7"}, {3, std::nullopt}};
  const Alteration made = alteration(*before, *after, change, "t");
  EXPECT_EQ(made.obstacle, "");
  EXPECT_EQ(made.statements,
            (std::vector<std::string>{
                "ALTER TABLE t RENAME COLUMN IF EXISTS `v` TO `w`", "ALTER TABLE t DROP COLUMN IF EXISTS `big`",
                "ALTER TABLE t ADD COLUMN IF NOT EXISTS `n` Nullable(Int32) DEFAULT CAST('7', 'Nullable(Int32)')",
                "ALTER TABLE t ADD COLUMN IF NOT EXISTS `u` Nullable(UUID)"}));
}

TEST(ClickhouseTableTest, IsCopiedAnewWhereStatementsCannotSayIt) {
  const RelationPtr before = test::items();
  SchemaChange change;
  change.kept = {{0, 0}, {1, 2}, {2, 1}};
  const RelationPtr swapped = test::table("items", {{"id", 20, -1, 1}, {"v"}, {"big"}});
  EXPECT_NE(alteration(*before, *swapped, change, "t").obstacle, "") << "names that were exchanged";
  change.kept = {{0, 0}, {1, 1}, {2, 2}};
  const RelationPtr other_key = test::table("items", {{"number", 20, -1, 1}, {"v"}, {"big"}});
  EXPECT_NE(alteration(*before, *other_key, change, "t").obstacle, "") << "the order's column cannot be renamed";
  const RelationPtr wider = test::table("items", {{"id", 20, -1, 1}, {"v", 23}, {"big"}});
  EXPECT_NE(alteration(*before, *wider, change, "t").obstacle, "") << "another type";
}

}  // namespace
}  // namespace tailrace::clickhouse
