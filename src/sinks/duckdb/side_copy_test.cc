#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// A table of a running target is copied again.
class SideCopyTest : public ::testing::Test {
 protected:
  static DuckdbSpec with_history() {
    DuckdbSpec spec;
    spec.history = {"public.*"};
    return spec;
  }
  /// The rows of a snapshot that contains the transactions up to LSN `lsn`, but for those in `invisible` (xid lsn /
  /// 100).
  void load(const RelationPtr& relation, const std::vector<Row>& rows, std::uint64_t lsn,
            const std::string& invisible = "") {
    load_part(relation, "", rows, {}, lsn, invisible);
  }
  /// The same of the rows for which a condition holds; `by_key`: what the source has of the keys that are asked for.
  /// Gives these keys.
  std::vector<std::string> load_part(const RelationPtr& relation, const std::string& where,
                                     const std::vector<Row>& rows, const std::vector<Row>& by_key, std::uint64_t lsn,
                                     const std::string& invisible = "") {
    side = target.sink().side_copy();
    const sinks::SidePlace place = side->begin(relation, where);
    const auto write = [&](const std::vector<Row>& written) {
      CopiedRows copied;
      copied.relation = relation;
      for (const Row& row : written) copied.tuples += tuple_bytes(row);
      copied.count = written.size();
      const auto writer = place.make_writer();
      writer->append(copied);
      writer->finish();
    };
    write(rows);
    std::vector<std::string> asked;
    if (place.suspects)
      for (const std::string& key : place.suspects()) asked.emplace_back(TupleView(key).begin().next().bytes);
    write(by_key);
    const std::string next = std::to_string(lsn / 100 + 1);
    CopiedTable table{relation, {}, rows.size()};
    table.fence.snapshot = *SnapshotXids::parse((invisible.empty() ? next : invisible) + ":" + next + ":" + invisible);
    table.fence.end = Lsn(lsn);
    side->loaded(table);
    return asked;
  }
  Position here() const { return {1, Lsn(clock.lsn), 1000}; }
  /// A query's rows as text, sorted.
  std::vector<std::string> shown(const std::string& sql) {
    return target.query("SELECT COLUMNS(*)::VARCHAR FROM (" + sql + ") ORDER BY ALL");
  }
  std::vector<std::string> hidden() {
    return target.query("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'copy_of_%'");
  }

  std::vector<std::string> codes() {
    std::vector<std::string> codes;
    for (const sinks::SinkProblem& problem : target.sink().problems()) codes.push_back(problem.code);
    return codes;
  }

  Target target{with_history()};
  RelationPtr t = items();
  Clock clock;
  sinks::SideCopy* side = nullptr;
};

TEST_F(SideCopyTest, BehindAGapEveryTableIsHeldUntilItIsCopiedAndItsHistoryIsCutThere) {
  const RelationPtr other = table("other", {{"id", 20, -1, 1}, {"v"}}, ReplicaIdentity::kDefault, 16999);
  target.copy({{t, {{"1", "a", "x"}, {"2", "b", "x"}}}, {other, {{"1", "a"}}}});
  Batch before(clock);
  target.apply(before.begin().update(t, {"1", "A", "x"}));
  target.sink().begin_epoch({{2, Lsn(2000), 0}, Seq(clock.lsn + 1), Batch::at(clock.lsn)});
  EXPECT_EQ(target.sink().flush().position, (Position{2, Lsn(2000), 0}));
  target.open();
  EXPECT_THAT(codes(), ElementsAre("TR631", "TR631"));
  EXPECT_THAT(target.sink().side_copy()->wanted(), SizeIs(2));

  clock.lsn = 2000;
  Batch behind(clock);
  target.apply(behind.in_epoch(2).begin().update(t, {"1", "never seen", "x"}));
  EXPECT_THAT(shown("SELECT id, v FROM public.items"), ElementsAre("1|A", "2|b"));
  load(t, {{"1", "never seen", "x"}, {"3", "came in the gap", "x"}}, clock.lsn);
  side->merge();
  EXPECT_THAT(shown("SELECT id, v FROM public.items"), ElementsAre("1|never seen", "3|came in the gap"));
  EXPECT_THAT(shown("SELECT id, v, is_current FROM public.items__history_until_1100"),
              ElementsAre("1|A|true", "1|a|false", "2|b|true"));
  EXPECT_THAT(shown("SELECT id, v, is_current FROM public.items__history"),
              ElementsAre("1|never seen|true", "3|came in the gap|true"));
  EXPECT_THAT(codes(), ElementsAre("TR631"));
}

TEST_F(SideCopyTest, OnlyWhatDiffersIsWritten) {
  target.copy({{t, {{"1", "a", "x"}, {"2", "b", "x"}, {"3", "c", "x"}, {"4", std::nullopt, "x"}}}});
  Batch batch(clock);
  batch.begin().update(t, {"1", "A", "x"});
  target.apply(batch);
  const auto places = shown("SELECT rowid, id FROM public.items WHERE id IN (1, 4)");
  load(t, {{"1", "A", "x"}, {"2", "B", "x"}, {"4", std::nullopt, "x"}, {"5", "e", "x"}}, 1100);
  EXPECT_THAT(hidden(), SizeIs(1));
  side->merge();
  EXPECT_THAT(hidden(), IsEmpty());
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|A|x", "2|B|x", "4|∅|x", "5|e|x"));
  EXPECT_EQ(shown("SELECT rowid, id FROM public.items WHERE id IN (1, 4)"), places);
  EXPECT_THAT(shown("SELECT id, v, from_lsn, to_lsn, is_current FROM public.items__history"),
              ElementsAre("1|A|1100|∅|true", "1|a|1000|1100|false", "2|B|1100|∅|true", "2|b|1000|1100|false",
                          "3|c|1000|1100|false", "4|∅|1000|∅|true", "5|e|1100|∅|true"));
}

TEST_F(SideCopyTest, ChangesThatTheSnapshotLacksAreReplayedUpToTheSinksPlace) {
  target.copy({{t, {{"1", "a", "x"}, {"2", "b", "x"}}}});
  Batch batch(clock);
  batch.begin().update(t, {"1", "seen", kUnchanged});    // 1100: in the snapshot
  batch.begin().update(t, {"2", "unseen", kUnchanged});  // 1200: written, but not visible yet
  batch.begin().insert(t, {"3", "later", "y"}).remove(t, {"1", std::nullopt, std::nullopt});
  target.apply(batch);
  const auto before = target.rows("public.items");
  const auto versions = target.rows("public.items__history");
  load(t, {{"1", "seen", "x"}, {"2", "b", "x"}}, 1200, "12");
  Batch ahead(clock);
  ahead.begin().insert(t, {"4", "not applied yet", "z"});
  side->replay(batch.done(), here());
  side->replay(ahead.done(), {1, Lsn(1300), 1000});
  side->merge();
  EXPECT_EQ(target.rows("public.items"), before);
  EXPECT_EQ(target.rows("public.items__history"), versions);
  target.apply(ahead);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("2|unseen|x", "3|later|y", "4|not applied yet|z"));
}

TEST_F(SideCopyTest, AHeldTableWithOtherColumnsIsMadeAnewAndItsHistoryKept) {
  target.copy({{t, {{"1", "a", "x"}}}});
  const RelationPtr wider =
      table("items", {{"id", 20, -1, 1}, {"v"}, {"big"}, {"more", 23}}, ReplicaIdentity::kDefault, 20000);
  Batch batch(clock);
  batch.begin().insert(wider, {"2", "b", "x", "7"});
  target.apply(batch);
  ASSERT_THAT(target.sink().problems(), SizeIs(1));
  load(wider, {{"1", "a", "x", std::nullopt}, {"2", "b", "x", "7"}}, 1100);
  side->merge();
  EXPECT_THAT(target.sink().problems(), IsEmpty());
  Batch later(clock);
  later.begin().update(wider, {"1", "A", kUnchanged, "8"});
  target.apply(later);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|A|x|8", "2|b|x|7"));
  EXPECT_THAT(shown("SELECT id, v FROM public.items__history_until_1100"), ElementsAre("1|a"));
  EXPECT_THAT(shown("SELECT id, more, from_lsn FROM public.items__history WHERE is_current"),
              ElementsAre("1|8|1200", "2|7|1100"));
  target.open();
  EXPECT_THAT(target.sink().problems(), IsEmpty());
}

TEST_F(SideCopyTest, ATableThatWasNeverCopiedIsWantedAndThenFollowed) {
  target.copy({{t, {}}});
  const RelationPtr late = table("late", {{"id", 20, -1, 1}, {"v"}}, ReplicaIdentity::kDefault, 20000);
  Batch batch(clock);
  batch.begin().insert(late, {"2", "b"});
  target.apply(batch);
  EXPECT_THAT(target.sink().side_copy()->wanted(), ElementsAre(sinks::TableName("public", "late")));
  load(late, {{"1", "a"}, {"2", "b"}}, 1100);
  side->merge();
  EXPECT_THAT(side->wanted(), IsEmpty());
  Batch later(clock);
  later.begin().update(late, {"1", "A"});
  target.apply(later);
  EXPECT_THAT(target.rows("public.late"), ElementsAre("1|A", "2|b"));
  EXPECT_THAT(shown("SELECT id, v, from_lsn FROM public.late__history"),
              ElementsAre("1|A|1200", "1|a|1100", "2|b|1100"));
}

TEST_F(SideCopyTest, RowsWithoutAKeyAreComparedAsAMultisetDownToTheSignOfZero) {
  const RelationPtr bag = table("bag", {{"v"}, {"f", 701}, {"i", 1186}}, ReplicaIdentity::kFull);
  target.copy({{bag,
                {{"a", "0", "1 mon"},
                 {"a", "0", "1 mon"},
                 {"a", "0", "1 mon"},
                 {"b", "NaN", "30 days"},
                 {std::nullopt, std::nullopt, std::nullopt}}}});
  load(bag,
       {{"a", "0", "1 mon"},
        {"a", "-0", "1 mon"},
        {"a", "0", "1 mon"},
        {"b", "NaN", "1 mon"},
        {std::nullopt, std::nullopt, std::nullopt}},
       1000);
  side->merge();
  EXPECT_THAT(target.rows("public.bag"),
              ElementsAre("a|-0.0|1 month", "a|0.0|1 month", "a|0.0|1 month", "b|nan|1 month", "∅|∅|∅"));
  EXPECT_THAT(shown("SELECT count(*) FILTER (is_current), count(*) FROM public.bag__history"), ElementsAre("5|7"));
}

TEST_F(SideCopyTest, KeysThatLackAValueAreThoseOfTheCopy) {
  target.copy({{t, {{"1", "a", "x"}}}});
  Batch batch(clock);
  batch.begin().insert(t, {"2", "b", kUnchanged});
  target.apply(batch);
  EXPECT_EQ(target.sink().incomplete_rows(), 1U);
  load(t, {{"1", "a", "x"}, {"2", "b", "y"}}, 1100);
  Batch later(clock);
  later.begin().insert(t, {"3", "c", kUnchanged});
  target.apply(later);
  side->replay(later.done(), here());
  side->merge();
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "2|b|y"));
  EXPECT_EQ(target.sink().incomplete_rows(), 1U);
  target.open();
  EXPECT_EQ(target.sink().incomplete_rows(), 1U);
}

TEST_F(SideCopyTest, ACopyThatACrashInterruptedLeavesNothing) {
  target.copy({{t, {{"1", "a", "x"}}}});
  load(t, {{"9", "z", "z"}}, 1000);
  EXPECT_THAT(hidden(), SizeIs(1));
  target.open();
  EXPECT_THAT(hidden(), IsEmpty());
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
}

TEST_F(SideCopyTest, AChangeOfColumnsMeanwhileVoidsTheCopy) {
  target.copy({{t, {{"1", "a", "x"}}}});
  load(t, {{"1", "a", "x"}}, 1000);
  const RelationPtr wider = table("items", {{"id", 20, -1, 1}, {"v"}, {"big"}, {"more", 23}});
  Batch batch(clock);
  batch.begin().insert(wider, {"2", "b", "x", "7"});
  EXPECT_THROW(side->replay(batch.done(), here()), RetryError);
}

TEST_F(SideCopyTest, ATableOfSomebodyElseIsNotTaken) {
  target.copy({{t, {}}});
  {
    Connection theirs(Database::open(target.path(), {64ULL << 20, 1, false}));
    theirs.run("CREATE TABLE public.late(x INTEGER)");
  }
  const RelationPtr late = table("late", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 20000);
  EXPECT_THROW(target.sink().side_copy()->begin(late, ""), RefusedError);
  EXPECT_THAT(target.rows("public.late"), IsEmpty());
}

TEST_F(SideCopyTest, InPartOnlyRowsThatTheConditionNamesAreWritten) {
  target.copy({{t, {{"1", "a", "x"}, {"2", "old", "x"}, {"3", "gone", "x"}, {"40", "wrong", "x"}, {"5", "c", "x"}}}});
  // 2 is another row at the source, 6 is missing here, 3 is gone; 40 is wrong, and nobody asks for it.
  const auto asked =
      load_part(t, "id < 10", {{"1", "a", "x"}, {"2", "new", "x"}, {"6", "f", "x"}, {"5", "c", "x"}}, {}, 1000);
  EXPECT_THAT(asked, ElementsAre("3"));
  side->merge();
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "2|new|x", "40|wrong|x", "5|c|x", "6|f|x"));
  EXPECT_THAT(hidden(), IsEmpty());
  EXPECT_THAT(shown("SELECT id, v FROM public.items__history WHERE is_current"),
              ElementsAre("1|a", "2|new", "40|wrong", "5|c", "6|f"));
  EXPECT_THAT(shown("SELECT id, v, to_lsn FROM public.items__history WHERE NOT is_current"),
              ElementsAre("2|old|1000", "3|gone|1000"));
}

TEST_F(SideCopyTest, InPartARowThatFulfilsTheConditionInTheTargetOnlyIsAskedForByKey) {
  target.copy({{t, {{"1", "yes", "x"}, {"2", "yes", "y"}, {"3", "no", "z"}}}});
  const auto asked = load_part(t, "v = 'yes'", {{"1", "yes", "x"}}, {{"2", "no", "Y"}}, 1000);
  EXPECT_THAT(asked, ElementsAre("2"));
  side->merge();
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|yes|x", "2|no|Y", "3|no|z"));
}

TEST_F(SideCopyTest, InPartWhatTheStreamWritesMeanwhileStaysAsItIs) {
  target.copy({{t, {{"1", "a", "x"}, {"2", "b", "x"}, {"3", "c", "x"}, {"4", "d", "x"}, {"50", "e", "x"}}}});
  Batch batch(clock);
  batch.begin().update(t, {"1", "A", kUnchanged}).insert(t, {"7", "new", "x"});  // 1100: after the snapshot
  batch.begin().update_key(t, {"2", std::nullopt, std::nullopt}, {"60", "b", kUnchanged});
  batch.begin().remove(t, {"3", std::nullopt, std::nullopt}).insert(t, {"3", "back", "y"});
  batch.begin().update_key(t, {"50", std::nullopt, std::nullopt}, {"8", "e", kUnchanged});
  batch.begin().remove(t, {"4", std::nullopt, std::nullopt});
  target.apply(batch);
  const auto before = target.rows("public.items");
  const auto versions = target.rows("public.items__history");
  // 7 and 8 came after the snapshot: it has no row of them.
  const auto asked =
      load_part(t, "id < 10", {{"1", "a", "x"}, {"2", "b", "x"}, {"3", "c", "x"}, {"4", "d", "x"}}, {}, 1000);
  EXPECT_THAT(asked, ::testing::UnorderedElementsAre("7", "8"));
  side->replay(batch.done(), here());
  side->merge();
  EXPECT_EQ(target.rows("public.items"), before);
  EXPECT_EQ(target.rows("public.items__history"), versions);
}

TEST_F(SideCopyTest, InPartAReplayBringsWrongRowsToWhereTheSinkIs) {
  target.copy({{t, {{"1", "a", "wrong"}, {"2", "b", "wrong"}, {"3", "c", "wrong"}}}});
  Batch batch(clock);
  batch.begin().update(t, {"1", "A", kUnchanged});
  batch.begin().update_key(t, {"2", std::nullopt, std::nullopt}, {"90", "b", kUnchanged});
  target.apply(batch);
  load_part(t, "id < 3", {{"1", "a", "right"}, {"2", "b", "right"}}, {}, 1000);
  side->replay(batch.done(), here());
  side->merge();
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|A|right", "3|c|wrong", "90|b|right"));
}

TEST_F(SideCopyTest, InPartATruncateMeanwhileLeavesWhatCameAfterIt) {
  target.copy({{t, {{"1", "a", "x"}, {"2", "gone", "x"}}}});
  Batch batch(clock);
  batch.begin().truncate(t).insert(t, {"2", "after", "x"});
  target.apply(batch);
  load_part(t, "id < 10", {{"1", "a", "x"}}, {}, 1000);
  side->replay(batch.done(), here());
  side->merge();
  EXPECT_THAT(target.rows("public.items"), ElementsAre("2|after|x"));
}

TEST_F(SideCopyTest, InPartTablesWithoutKeyOrHeldOnesAndStrangeConditionsAreRefused) {
  const RelationPtr bag = table("bag", {{"v"}}, ReplicaIdentity::kFull, 7);
  target.copy({{t, {}}, {bag, {}}});
  side = target.sink().side_copy();
  const auto code_of = [&](const RelationPtr& relation, const std::string& where) -> std::string {
    try {
      side->begin(relation, where);
      return "";
    } catch (const Error& error) {
      return error.code();
    }
  };
  EXPECT_EQ(code_of(bag, "true"), "TR644");
  EXPECT_EQ(code_of(table("late", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 8), "true"), "TR644");
  EXPECT_EQ(code_of(table("items", {{"id", 20, -1, 1}, {"v"}}), "true"), "TR644");
  EXPECT_EQ(code_of(t, "nothing = 1"), "TR643");
  EXPECT_EQ(code_of(t, "v @@ to_tsquery('a')"), "TR643");
  EXPECT_EQ(code_of(t, "id = 1 -- one"), "");
  side->drop();
  EXPECT_THAT(hidden(), IsEmpty());
}

}  // namespace
}  // namespace tailrace::duckdb::test
