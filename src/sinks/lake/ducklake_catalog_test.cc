#include "sinks/lake/ducklake_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error_code_for_test.h"
#include "model/batch_for_test.h"

namespace tailrace::lake::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Columns = std::vector<tailrace::test::ColumnSpec>;

constexpr std::uint32_t kInt2 = 21;
constexpr std::uint32_t kInt4 = 23;

/// Columns with the numbers that the source gave them.
RelationPtr numbered(const Columns& columns, const std::vector<std::int16_t>& numbers, const std::string& name = "t") {
  auto relation = std::make_shared<Relation>(*tailrace::test::table(name, columns));
  for (std::size_t n = 0; n < numbers.size(); ++n) relation->columns[n].attnum = numbers[n];
  return relation;
}

class DuckLakeCatalogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "tailrace-ducklake-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
    file_ = root_ / "below" / "catalog.sqlite";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<DuckLakeCatalog> opened() {
    auto catalog = std::make_unique<DuckLakeCatalog>(file_, "/data/");
    catalog->prepare();
    return catalog;
  }
  static std::shared_ptr<const TableShape> shape(const RelationPtr& relation) {
    return std::make_shared<TableShape>(*relation, LakeSpec());
  }
  static DuckLakeFile file(const RelationPtr& relation, std::uint64_t n, std::uint64_t rows = 10) {
    DuckLakeFile file;
    file.shape = shape(relation);
    file.name = std::to_string(n) + ".parquet";
    file.first = {1, Lsn(n), 0};
    file.through = Seq(n);
    file.rows = rows;
    return file;
  }
  static DuckLakeStep step(const std::string& cursor) {
    return {.state = {{"cursor", cursor}}, .note = {"us", "note", "{}"}};
  }
  static void make(DuckLakeCatalog& catalog, const RelationPtr& relation) {
    DuckLakeStep made = step("made");
    made.made = {shape(relation)};
    catalog.commit(made);
  }
  static void add(DuckLakeCatalog& catalog, const RelationPtr& relation, std::uint64_t n) {
    DuckLakeStep more = step(std::to_string(n));
    more.files = {file(relation, n)};
    catalog.commit(more);
  }
  /// The first column of each row; of several columns, joined.
  std::vector<std::string> ask(const std::string& sql) {
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open(file_.c_str(), &db), SQLITE_OK);
    std::vector<std::string> rows;
    char* error = nullptr;
    sqlite3_exec(
        db, sql.c_str(),
        [](void* into, int count, char** values, char**) {
          std::string row;
          for (int n = 0; n < count; ++n)
            row += (n > 0 ? "|" : "") + std::string(values[n] == nullptr ? "-" : values[n]);
          static_cast<std::vector<std::string>*>(into)->push_back(row);
          return 0;
        },
        &rows, &error);
    EXPECT_EQ(error, nullptr) << error;
    sqlite3_close(db);
    return rows;
  }
  std::vector<std::string> columns() {
    return ask(
        "SELECT column_id, column_name, column_type FROM ducklake_column WHERE end_snapshot IS NULL AND column_name "
        "NOT "
        "LIKE '\\_%' ESCAPE '\\' ORDER BY column_id");
  }

  std::filesystem::path root_;
  std::filesystem::path file_;
};

TEST_F(DuckLakeCatalogTest, IsNotMadeBeforeItIsNeeded) {
  DuckLakeCatalog catalog(file_, "/data/");
  EXPECT_THAT(catalog.state(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(root_ / "below"));
}

TEST_F(DuckLakeCatalogTest, FilesAndWhatIsRememberedComeTogether) {
  const RelationPtr table = numbered({{"id", kInt4, -1, 1}}, {1});
  auto catalog = opened();
  make(*catalog, table);
  catalog->note_file("public/t/7.parquet");
  catalog->note_file("public/t/8.parquet");
  add(*catalog, table, 7);
  catalog.reset();
  catalog = opened();
  EXPECT_EQ(catalog->state(), (sinks::StateMap{{"cursor", "7"}}));
  EXPECT_EQ(catalog->number(), 2U);
  EXPECT_EQ(catalog->through(table->oid), Seq(7));
  EXPECT_THAT(catalog->unnamed_files(), ElementsAre("public/t/8.parquet"));
  add(*catalog, table, 8);
  EXPECT_THAT(ask("SELECT begin_snapshot, path, row_id_start FROM ducklake_data_file ORDER BY 1"),
              ElementsAre("2|7.parquet|0", "3|8.parquet|10"));
  EXPECT_THAT(ask("SELECT record_count, next_row_id FROM ducklake_table_stats"), ElementsAre("20|20"));
  EXPECT_THAT(ask("SELECT snapshot_id, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot"),
              ElementsAre("0|0|1|0", "1|1|3|0", "2|1|3|2", "3|1|3|3"));
  EXPECT_THAT(ask("SELECT changes_made FROM ducklake_snapshot_changes"),
              ElementsAre("created_schema:\"main\"", "created_schema:\"public\",created_table:\"public\".\"t\"",
                          "inserted_into_table:2", "inserted_into_table:2"));
}

TEST_F(DuckLakeCatalogTest, AStepWithoutRowsIsNoSnapshot) {
  auto catalog = opened();
  catalog->commit(step("idle"));
  EXPECT_THAT(ask("SELECT count(*) FROM ducklake_snapshot"), ElementsAre("1"));
  EXPECT_EQ(catalog->state().at("cursor"), "idle");
}

TEST_F(DuckLakeCatalogTest, OfTwoProcessesOneIsRefused) {
  auto ours = opened();
  auto theirs = opened();
  ours->commit(step("ours"));
  EXPECT_EQ(code_of([&] { theirs->commit(step("theirs")); }), "TR855");
  EXPECT_EQ(theirs->state().at("cursor"), "ours");
  ours->commit(step("ours again"));
}

TEST_F(DuckLakeCatalogTest, AStepThatCannotBeIsUndone) {
  const RelationPtr table = numbered({{"id", kInt4, -1, 1}}, {1});
  auto catalog = opened();
  EXPECT_EQ(code_of([&] { add(*catalog, table, 7); }), "TR915");
  EXPECT_THAT(catalog->state(), IsEmpty());
  make(*catalog, table);
  add(*catalog, table, 7);
  EXPECT_EQ(catalog->number(), 2U);
}

TEST_F(DuckLakeCatalogTest, ColumnsAreKnownByTheirNumbers) {
  auto catalog = opened();
  make(*catalog, numbered({{"id", kInt4, -1, 1}, {"a", kInt2}, {"b"}}, {1, 2, 3}));
  add(*catalog, numbered({{"id", kInt4, -1, 1}, {"a", kInt2}, {"b"}}, {1, 2, 3}), 1);
  // Two names change places, a third column comes.
  const RelationPtr later = numbered({{"id", kInt4, -1, 1}, {"b", kInt4}, {"a"}, {"c"}}, {1, 2, 3, 4});
  add(*catalog, later, 2);
  EXPECT_THAT(columns(), ElementsAre("1|id|int32", "2|b|int32", "3|a|varchar", "11|c|varchar"));
  EXPECT_THAT(ask("SELECT begin_snapshot, end_snapshot FROM ducklake_column WHERE column_id = 2"),
              ElementsAre("1|3", "3|-"));
  // One version of the table, one mapping; another version, another one.
  add(*catalog, later, 3);
  EXPECT_THAT(ask("SELECT mapping_id FROM ducklake_data_file ORDER BY begin_snapshot"), ElementsAre("0", "2", "2"));
  EXPECT_THAT(
      ask("SELECT source_name, target_field_id FROM ducklake_name_mapping WHERE mapping_id = 2 AND column_id < 4"),
      ElementsAre("id|1", "b|2", "a|3", "c|11"));
  EXPECT_THAT(ask("SELECT begin_snapshot, schema_version FROM ducklake_schema_versions"), ElementsAre("1|1", "3|2"));
}

TEST_F(DuckLakeCatalogTest, ADroppedColumnStaysUntilItsNameIsNeeded) {
  auto catalog = opened();
  make(*catalog, numbered({{"id", kInt4, -1, 1}, {"a"}, {"b"}}, {1, 2, 3}));
  add(*catalog, numbered({{"id", kInt4, -1, 1}}, {1}), 1);
  EXPECT_THAT(columns(), ElementsAre("1|id|int32", "2|a|varchar", "3|b|varchar"));
  add(*catalog, numbered({{"id", kInt4, -1, 1}, {"a", kInt4}}, {1, 4}), 2);
  EXPECT_THAT(columns(), ElementsAre("1|id|int32", "3|b|varchar", "11|a|int32"));
}

TEST_F(DuckLakeCatalogTest, ATableThatBeginsAnewEndsTheOneBefore) {
  const RelationPtr table = numbered({{"id", kInt4, -1, 1}}, {1});
  auto catalog = opened();
  make(*catalog, table);
  add(*catalog, table, 1);
  make(*catalog, numbered({{"id", kInt4, -1, 1}}, {1}, "renamed"));
  EXPECT_THAT(ask("SELECT table_name, begin_snapshot, end_snapshot FROM ducklake_table ORDER BY 2"),
              ElementsAre("t|1|3", "renamed|3|-"));
  EXPECT_THAT(ask("SELECT end_snapshot FROM ducklake_data_file"), ElementsAre("3"));
  EXPECT_EQ(catalog->through(table->oid), Seq(0));
}

TEST(DuckLakeColumnsTest, OnlyWiderNumbersAreReadAsOthers) {
  EXPECT_TRUE(can_widen("int16", "int64"));
  EXPECT_TRUE(can_widen("float32", "float64"));
  EXPECT_TRUE(can_widen("varchar", "varchar"));
  EXPECT_FALSE(can_widen("int64", "int32"));
  EXPECT_FALSE(can_widen("int32", "varchar"));
  EXPECT_FALSE(can_widen("decimal(10,2)", "decimal(12,2)"));
}

}  // namespace
}  // namespace tailrace::lake::test
