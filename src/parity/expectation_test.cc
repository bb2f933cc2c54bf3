#include "parity/expectation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <optional>

#include "model/tuple_for_test.h"

namespace tailrace::parity {
namespace {

using ::testing::ElementsAre;

RelationPtr table() {
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(1);
  relation->schema = "public";
  relation->name = "t";
  relation->primary_key_immediate = true;
  for (const char* name : {"v", "id"}) {
    Column column;
    column.name = name;
    column.attnum = static_cast<std::int16_t>(relation->columns.size() + 1);
    relation->columns.push_back(column);
  }
  relation->columns[1].primary_key_place = 1;
  relation->columns[1].in_identity = true;
  return relation;
}

/// Rows (v, id) 'a' 1 and 'b' 2, read under a snapshot that contains transactions up to 10; 3 was asked for, too.
class ExpectationTest : public testing::Test {
 protected:
  ExpectationTest() {
    FencedRows read;
    read.fence.snapshot = *SnapshotXids::parse("11:11:");
    read.fence.end = Lsn(1000);
    read.rows.relation = relation_;
    read.rows.tuples = tuple_bytes({"a", "1"}) + tuple_bytes({"b", "2"});
    expectation_.emplace(std::vector<std::string>{tuple_bytes({"1"}), tuple_bytes({"2"}), tuple_bytes({"3"})}, read);
  }
  void change(std::uint32_t xid, ChangeKind kind, const RowForTest& old_row, const RowForTest& new_row) {
    ChangeBatch batch;
    Transaction transaction;
    transaction.epoch = 1;
    transaction.xid = Xid(xid);
    transaction.commit_end = Lsn(900 + 10ULL * xid);
    batch.transactions.push_back(transaction);
    Change change;
    change.kind = kind;
    change.relation = relation_.get();
    if (!old_row.empty()) {
      change.old_kind = OldTuple::kKey;
      change.old_row = TupleView(bytes_.emplace_back(tuple_bytes(old_row)));
    }
    if (!new_row.empty()) change.new_row = TupleView(bytes_.emplace_back(tuple_bytes(new_row)));
    batch.changes.push_back(change);
    expectation_->apply(batch, {1, Lsn(1200), 0});
  }
  std::vector<std::string> known() const {
    std::vector<std::string> lines;
    for (const sinks::ExpectedRow& row : expectation_->known()) {
      auto key = TupleView(row.key).begin();
      std::string line = std::string(key.next().bytes) + "=";
      if (row.row.empty()) {
        line += "none";
      } else {
        auto fields = TupleView(row.row).begin();
        line += fields.next().bytes;
      }
      lines.push_back(line);
    }
    return lines;
  }

  RelationPtr relation_ = table();
  std::deque<std::string> bytes_;
  std::optional<Expectation> expectation_;
};

TEST_F(ExpectationTest, IsWhatWasRead) { EXPECT_THAT(known(), ElementsAre("1=a", "2=b", "3=none")); }

TEST_F(ExpectationTest, TakesChangesThatTheReadDoesNotContainAndNoOthers) {
  change(5, ChangeKind::kUpdate, {}, {"old", "1"});
  change(11, ChangeKind::kUpdate, {}, {"new", "1"});
  change(12, ChangeKind::kInsert, {}, {"c", "3"});
  change(13, ChangeKind::kDelete, {std::nullopt, "2"}, {});
  change(14, ChangeKind::kInsert, {}, {"elsewhere", "9"});
  change(40, ChangeKind::kUpdate, {}, {"too late", "1"});
  EXPECT_THAT(known(), ElementsAre("1=new", "2=none", "3=c"));
  EXPECT_EQ(expectation_->changes(), 4u);
}

TEST_F(ExpectationTest, FollowsARowThatMovesAndTakesItsUnsentValuesAlong) {
  change(11, ChangeKind::kUpdate, {std::nullopt, "1"}, {kUnchanged, "3"});
  EXPECT_THAT(known(), ElementsAre("1=none", "2=b", "3=a"));
}

TEST_F(ExpectationTest, ARowThatComesFromElsewhereWithoutItsValuesIsUnknown) {
  change(11, ChangeKind::kUpdate, {std::nullopt, "9"}, {kUnchanged, "3"});
  EXPECT_THAT(known(), ElementsAre("1=a", "2=b"));
  EXPECT_EQ(expectation_->unknown(), 1u);
}

TEST_F(ExpectationTest, ATruncateLeavesNothing) {
  change(11, ChangeKind::kTruncate, {}, {});
  EXPECT_THAT(known(), ElementsAre("1=none", "2=none", "3=none"));
}

TEST_F(ExpectationTest, AnAlteredTableIsUnknown) {
  auto altered = std::make_shared<Relation>(*relation_);
  altered->columns[0].attnum = 7;
  relation_ = altered;
  change(11, ChangeKind::kUpdate, {}, {"new", "1"});
  EXPECT_TRUE(known().empty());
  EXPECT_EQ(expectation_->unknown(), 3u);
}

}  // namespace
}  // namespace tailrace::parity
