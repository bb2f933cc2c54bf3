#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// A table's copy is broken off in the middle of it and goes on under another snapshot. A row with id n lies in page n
/// where nothing else is said; transactions have xid lsn / 100.
class ResumedCopyTest : public ::testing::Test {
 protected:
  ResumedCopyTest() { ::setenv("TAILRACE_BOUND_COPY_COMMIT_MS", "0", 1); }
  ~ResumedCopyTest() override { ::unsetenv("TAILRACE_BOUND_COPY_COMMIT_MS"); }

  static DuckdbSpec with_history() {
    DuckdbSpec spec;
    spec.history = {"public.*"};
    return spec;
  }
  /// A snapshot that contains the transactions up to LSN `lsn`, but for those in `invisible`.
  static Fence fence_at(std::uint64_t lsn, const std::string& invisible = "") {
    Fence fence;
    const std::string next = std::to_string(lsn / 100 + 1);
    fence.snapshot = *SnapshotXids::parse((invisible.empty() ? next : invisible) + ":" + next + ":" + invisible);
    fence.end = Lsn(lsn);
    fence.taken_at = Batch::at(lsn);
    return fence;
  }
  CopiedRows rows_of(const std::vector<Row>& rows) const {
    CopiedRows copied;
    copied.relation = t;
    for (const Row& row : rows) copied.tuples += tuple_bytes(row);
    copied.count = rows.size();
    return copied;
  }
  /// Copies these pages, and dies.
  void read_and_die(const PageRange& range, const std::vector<Row>& rows, const Fence& fence) {
    {
      const auto writer = target.sink().open_copy(t);
      writer->append(rows_of(rows));
      writer->range_done(range, fence);
      // These are not durable.
      writer->append(rows_of({{"77", "lost", "x"}}));
    }
    target.open();
  }
  /// False: the copy is void.
  bool resume(const Fence& now, Batch& changes) {
    sinks::ResumedCopy* resumed = target.sink().resumed_copy();
    resumed->begin(target.state().partial.at(0), now);
    if (!resumed->see(changes.done())) {
      resumed->drop();
      return false;
    }
    resumed->settle();
    return true;
  }
  /// The rest of the pages, and what is at the source of the keys that are asked for. Gives these keys.
  std::vector<std::string> finish(const std::vector<Row>& rest, const std::vector<Row>& by_key, const Fence& fence) {
    auto writer = target.sink().open_copy(t);
    writer->append(rows_of(rest));
    writer->finish();
    writer.reset();
    std::vector<std::string> asked;
    sinks::ResumedCopy* resumed = target.sink().resumed_copy();
    for (auto keys = resumed->unread_keys(t); !keys.empty(); keys = resumed->unread_keys(t))
      for (const std::string& key : keys) asked.emplace_back(TupleView(key).begin().next().bytes);
    writer = target.sink().open_copy(t);
    writer->append(rows_of(by_key));
    writer->finish();
    writer.reset();
    target.sink().finish_copy({t, fence, 0});
    target.sink().finish_copies({{1, Lsn(1000), 0}, Seq(1000), Batch::at(1000)});
    return asked;
  }
  std::vector<std::string> helpers() {
    return target.query(
        "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'changed_keys%' UNION ALL SELECT "
        "first_page::VARCHAR FROM tailrace.chunks");
  }

  Target target{with_history()};
  RelationPtr t = items();
  Clock clock;
};

TEST_F(ResumedCopyTest, PagesThatWereReadAreKeptWithTheirSnapshot) {
  target.sink().begin_copy({t});
  read_and_die({0, 8}, {{"1", "a", "x"}, {"2", "b", "x"}}, fence_at(1300, "11"));
  EXPECT_FALSE(target.state().cursor);
  ASSERT_THAT(target.state().partial, SizeIs(1));
  const sinks::PartialCopy& partial = target.state().partial[0];
  EXPECT_EQ(*partial.relation, *t);
  EXPECT_EQ(partial.done, (std::vector<PageRange>{{0, 8}}));
  EXPECT_EQ(partial.fence.snapshot, fence_at(1300, "11").snapshot);
  EXPECT_EQ(partial.fence.end, Lsn(1300));
  EXPECT_EQ(partial.rows, 2u);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "2|b|x"));
}

TEST_F(ResumedCopyTest, TheTableIsWhatTheYoungerSnapshotShowsWhereverRowsMovedInBetween) {
  target.sink().begin_copy({t});
  read_and_die({0, 10}, {{"1", "a", "x"}, {"2", "b", "x"}, {"3", "c", "x"}, {"4", "d", "x"}, {"5", "e", "x"}},
               fence_at(1300, "12"));
  Batch batch(clock);
  batch.begin().update(t, {"1", "seen", kUnchanged});          // 1100: in both
  batch.begin().update(t, {"2", "B", kUnchanged});             // 1200: written before, visible after the first
  batch.begin().insert(t, {"6", "seen", "x"});                 // 1300: in both
  batch.begin().remove(t, {"3", std::nullopt, std::nullopt});  // 1400
  batch.begin().update_key(t, {"4", std::nullopt, std::nullopt}, {"40", "d", kUnchanged});
  batch.begin().update(t, {"20", "moved to page 1", kUnchanged});  // 1600: from a page that was not read yet
  batch.begin().update(t, {"5", "moved to page 50", kUnchanged});  // 1700
  batch.begin().insert(t, {"7", "came", "x"}).remove(t, {"7", std::nullopt, std::nullopt});
  batch.begin().update(t, {"1", "later", kUnchanged});  // 1900: in neither
  ASSERT_TRUE(resume(fence_at(1800), batch));
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
  const auto asked = finish({{"5", "moved to page 50", "x"}, {"30", "untouched", "x"}, {"40", "d", "x"}},
                            {{"2", "B", "x"}, {"20", "moved to page 1", "x"}}, fence_at(1800));
  EXPECT_THAT(asked, ::testing::UnorderedElementsAre("2", "3", "4", "20", "7"));
  const std::vector<std::string> rows = {"1|a|x",  "20|moved to page 1|x", "2|B|x", "30|untouched|x",
                                         "40|d|x", "5|moved to page 50|x"};
  EXPECT_THAT(target.rows("public.items"), ::testing::UnorderedElementsAreArray(rows));
  EXPECT_THAT(target.query("SELECT DISTINCT from_lsn::VARCHAR, is_current::VARCHAR FROM public.items__history"),
              ElementsAre("1800|true"));
  EXPECT_THAT(helpers(), IsEmpty());
  target.open();
  EXPECT_THAT(target.state().partial, IsEmpty());
  ASSERT_THAT(target.state().copied, SizeIs(1));
  EXPECT_EQ(target.state().copied[0].fence.end, Lsn(1800));
  EXPECT_EQ(target.state().copied[0].rows, 6u);
}

TEST_F(ResumedCopyTest, ASecondDeathFindsTheStateOfTheSecondSnapshotAndTheKeysThatWereNotReadYet) {
  target.sink().begin_copy({t});
  read_and_die({0, 10}, {{"1", "a", "x"}, {"2", "b", "x"}, {"3", "c", "x"}}, fence_at(1000));
  Batch first(clock);
  first.begin().update(t, {"1", "A", "x"});
  first.begin().update(t, {"20", "T", "x"});
  ASSERT_TRUE(resume(fence_at(1200), first));
  read_and_die({10, 30}, {{"20", "T", "x"}, {"21", "u", "x"}}, fence_at(1200));
  ASSERT_THAT(target.state().partial, SizeIs(1));
  EXPECT_EQ(target.state().partial[0].fence.end, Lsn(1200));
  EXPECT_THAT(target.state().partial[0].done, ::testing::UnorderedElementsAre(PageRange{0, 10}, PageRange{10, 30}));
  Batch second(clock);
  second.begin().update(t, {"21", "U", "x"});
  ASSERT_TRUE(resume(fence_at(1300), second));
  // 20 was noted for the first time, and is asked for again.
  EXPECT_THAT(target.rows("public.items"), ElementsAre("2|b|x", "3|c|x"));
  const auto asked = finish({{"40", "z", "x"}}, {{"1", "A", "x"}, {"20", "T", "x"}, {"21", "U", "x"}}, fence_at(1300));
  EXPECT_THAT(asked, ::testing::UnorderedElementsAre("1", "20", "21"));
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|A|x", "2|b|x", "20|T|x", "21|U|x", "3|c|x", "40|z|x"));
  EXPECT_THAT(helpers(), IsEmpty());
}

TEST_F(ResumedCopyTest, ACopyIsVoidWhereTheLogShowsAnotherTable) {
  target.sink().begin_copy({t});
  read_and_die({0, 10}, {{"1", "a", "x"}}, fence_at(1000));
  Batch truncated(clock);
  truncated.begin().truncate(t);
  EXPECT_FALSE(resume(fence_at(1100), truncated));
  const RelationPtr wider = table("items", {{"id", 20, -1, 1}, {"v"}, {"big"}, {"more"}});
  Batch altered(clock);
  altered.begin().insert(wider, {"2", "b", "x", "y"});
  EXPECT_FALSE(resume(fence_at(1200), altered));
  const RelationPtr other_key = table("items", {{"id", 20}, {"v", 25, -1, 1}, {"big"}});
  Batch rekeyed(clock);
  rekeyed.begin().update(other_key, {"2", "b", "x"});
  EXPECT_FALSE(resume(fence_at(1300), rekeyed));
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
  Batch none(clock);
  EXPECT_TRUE(resume(fence_at(1300), none));
}

TEST_F(ResumedCopyTest, BegunAgainNothingOfTheOldCopyIsLeft) {
  target.sink().begin_copy({t});
  read_and_die({0, 10}, {{"1", "a", "x"}}, fence_at(1000));
  Batch batch(clock);
  batch.begin().update(t, {"1", "A", "x"});
  ASSERT_TRUE(resume(fence_at(1100), batch));
  target.open();
  target.copy({{t, {{"9", "new", "x"}}}});
  EXPECT_THAT(target.rows("public.items"), ElementsAre("9|new|x"));
  EXPECT_THAT(helpers(), IsEmpty());
}

TEST_F(ResumedCopyTest, BehindALetterNoCopyGoesOn) {
  t = table("items", {{"id", 20, -1, 1}, {"v", 1114}});
  target.sink().begin_copy({t});
  {
    const auto writer = target.sink().open_copy(t);
    writer->append(rows_of({{"1", "2024-01-01 00:00:00"}}));
    writer->range_done({0, 8}, fence_at(1000));
    writer->append(rows_of({{"2", "0044-03-15 00:00:00 BC"}, {"3", "not a time"}}));
    writer->range_done({8, 16}, fence_at(1000));
  }
  target.open();
  EXPECT_THAT(target.state().partial, IsEmpty());
}

TEST_F(ResumedCopyTest, AWholeTableThatIsDoneLeavesNothingToGoOnWith) {
  target.copy({{t, {{"1", "a", "x"}}}});
  EXPECT_THAT(helpers(), IsEmpty());
  EXPECT_THAT(target.state().partial, IsEmpty());
}

}  // namespace
}  // namespace tailrace::duckdb::test
