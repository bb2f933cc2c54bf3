#include "sinks/duckdb/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/error_code_for_test.h"
#include "sinks/duckdb/damage.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;

/// A target with a row that is only in its log, and the place of a backup.
class Backup : public ::testing::Test {
 protected:
  Backup() : to_(target_.path().string() + ".backup") {
    target_.copy({{items(), {{"1", "a", "x"}}}});
    Batch batch(clock_);
    batch.begin().insert(items(), {"2", "b", "y"});
    target_.apply(batch);
  }
  void change() {
    Batch batch(clock_);
    batch.begin().insert(items(), {"3", "c", "z"});
    target_.apply(batch);
  }
  std::vector<std::string> rows_in(const std::filesystem::path& file) {
    Connection connection(Database::open(file, {}));
    std::vector<std::string> ids;
    for (const TextRow& row : connection.rows("SELECT id::VARCHAR FROM public.items ORDER BY id"))
      ids.push_back(row.front().second);
    return ids;
  }

  Target target_;
  std::filesystem::path to_;
  Clock clock_;
};

TEST_F(Backup, HoldsRowsAndCursorInOneFile) {
  const Cursor cursor = target_.sink().flush();
  target_.close();
  const BackupFacts facts = back_up(target_.spec(), to_);
  EXPECT_EQ(facts.cursor, cursor);
  EXPECT_EQ(facts.tables, 1u);
  EXPECT_EQ(facts.bytes, std::filesystem::file_size(to_));
  EXPECT_FALSE(std::filesystem::exists(to_.string() + ".wal"));
  EXPECT_THAT(rows_in(to_), ElementsAre("1", "2"));
  EXPECT_EQ(code_of([&] { back_up(target_.spec(), to_); }), "TR217");
}

TEST_F(Backup, OfADamagedTargetIsNotMade) {
  target_.close();
  target_.query("SELECT 1::VARCHAR");  // closing checkpoints
  {
    std::fstream file(target_.path(), std::ios::in | std::ios::out | std::ios::binary);
    const auto size = std::filesystem::file_size(target_.path());
    for (std::size_t at = 12288 + 100; at + 8 < size; at += 1000) {
      file.seekp(static_cast<std::streamoff>(at));
      file.write("damaged!", 8);
    }
  }
  EXPECT_THROW(back_up(target_.spec(), to_), sinks::DamagedTarget);
  EXPECT_FALSE(std::filesystem::exists(to_));
  EXPECT_FALSE(std::filesystem::exists(to_.string() + ".part"));
}

TEST_F(Backup, OfAnotherPipelineIsRefused) {
  target_.close();
  DuckdbSpec other = target_.spec();
  other.pipeline = "another";
  EXPECT_EQ(code_of([&] { back_up(other, to_); }), "TR604");
  EXPECT_FALSE(std::filesystem::exists(to_.string() + ".part"));
}

TEST_F(Backup, TakesTheTargetsPlaceAndGoesOnAtItsCursor) {
  target_.close();
  const BackupFacts made = back_up(target_.spec(), to_);
  target_.open();
  change();
  target_.close();
  std::filesystem::path kept;
  EXPECT_EQ(restore(target_.spec(), to_, made.cursor->position.commit_end, kept).cursor, made.cursor);
  EXPECT_THAT(rows_in(kept), ElementsAre("1", "2", "3"));
  target_.open();
  EXPECT_EQ(target_.state().cursor, made.cursor);
  change();
  EXPECT_THAT(target_.rows("public.items"), ElementsAre("1|a|x", "2|b|y", "3|c|z"));
  EXPECT_THAT(rows_in(to_), ElementsAre("1", "2"));
}

TEST_F(Backup, ThatTheLogDoesNotReachBackToIsRefusedAndTheTargetStays) {
  target_.close();
  const BackupFacts made = back_up(target_.spec(), to_);
  std::filesystem::path kept;
  const Lsn later(made.cursor->position.commit_end.value() + 1);
  EXPECT_EQ(code_of([&] { restore(target_.spec(), to_, later, kept); }), "TR626");
  EXPECT_TRUE(kept.empty());
  EXPECT_THAT(rows_in(target_.path()), ElementsAre("1", "2"));
}

}  // namespace
}  // namespace tailrace::duckdb::test
