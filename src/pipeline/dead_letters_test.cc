#include "pipeline/dead_letters.h"

#include <gtest/gtest.h>

#include "base/error_code_for_test.h"
#include "pipeline/test_parts.h"

namespace tailrace::pipeline {
namespace {

RelationPtr table_with(std::initializer_list<const char*> columns) {
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(7);
  relation->schema = "public";
  relation->name = "t";
  for (const char* name : columns) {
    Column& column = relation->columns.emplace_back();
    column.name = name;
  }
  return relation;
}

/// Of so many nulls.
sinks::DeadLetter wide_letter(std::uint64_t lsn, std::uint16_t columns, const std::string& reason = "too wide") {
  std::string tuple;
  TupleWriter writer(tuple, columns);
  for (int i = 0; i < columns; ++i) writer.null();
  sinks::DeadLetter letter;
  letter.position = lsn == 0 ? Position{} : Position{1, Lsn(lsn), 0};
  letter.seq = Seq(lsn);
  letter.xid = Xid(7);
  letter.relation = table_with({"id"});
  letter.operation = "insert";
  letter.reason = reason;
  letter.keep({}, tuple);
  return letter;
}

class DeadLettersTest : public ::testing::Test {
 protected:
  DeadLettersTest() {
    catalog_.attach_sinks(
        {{.name = "a", .kind = "duckdb", .display = "a"}, {.name = "b", .kind = "duckdb", .display = "b"}});
  }
  std::vector<KeptLetter> all(const LetterChoice& choice = {}) {
    std::vector<KeptLetter> found;
    DeadLetters(path_).for_each(choice, DeadLetters::Rows::kWith,
                                [&found](const KeptLetter& letter) { found.push_back(letter); });
    return found;
  }

  test::TemporaryDirectory directory_;
  const std::filesystem::path path_ = directory_.path() / "catalog.sqlite";
  Catalog catalog_{path_, Catalog::Access::kWrite};
};

TEST_F(DeadLettersTest, ALetterThatComesAgainWasTriedOnceMoreAndKeepsItsNumber) {
  catalog_.store_letters("a", {wide_letter(10, 1)});
  const std::vector<KeptLetter> before = all();
  catalog_.store_letters("a", {wide_letter(10, 1, "still too wide")});
  const std::vector<KeptLetter> after = all();
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0].id, before[0].id);
  EXPECT_EQ(after[0].attempts, 2u);
  EXPECT_EQ(after[0].letter.reason, "still too wide");
  EXPECT_GE(*after[0].failed_at, *before[0].failed_at);
  // Another row at a place that is none.
  catalog_.store_letters("a", {wide_letter(0, 1)});
  catalog_.store_letters("a", {wide_letter(0, 2)});
  EXPECT_EQ(all()[0].attempts, 1u);
}

TEST_F(DeadLettersTest, AreChosenBySinkAndNumber) {
  catalog_.store_letters("a", {wide_letter(10, 1), wide_letter(20, 1)});
  catalog_.store_letters("b", {wide_letter(10, 1, "refused")});
  ASSERT_EQ(all().size(), 3u);
  const std::uint64_t of_a = all()[1].id;
  EXPECT_EQ(all({.sink = "b"}).size(), 1u);
  EXPECT_EQ(all({.ids = {of_a}})[0].letter.position.commit_end, Lsn(20));
  EXPECT_EQ(code_of([&] { all({.ids = {of_a, 99}}); }), "TR224");
  EXPECT_EQ(code_of([&] { all({.sink = "b", .ids = {of_a}}); }), "TR224");
  EXPECT_EQ(code_of([&] { all({.sink = "c"}); }), "TR513");
  const std::vector<LetterCount> counts = DeadLetters(path_).count("");
  ASSERT_EQ(counts.size(), 2u);
  EXPECT_EQ(counts[0].letters, 2u);
  EXPECT_EQ(counts[1].sink + counts[1].table + counts[1].reason, "bpublic.trefused");
}

TEST_F(DeadLettersTest, AreDroppedAllOrNoneAndTheirNumbersAreNotUsedAgain) {
  catalog_.store_letters("a", {wide_letter(10, 1), wide_letter(20, 1)});
  const std::uint64_t last = all()[1].id;
  EXPECT_EQ(code_of([&] { DeadLetters(path_).drop({.ids = {last, 99}}); }), "TR224");
  EXPECT_EQ(all().size(), 2u);
  EXPECT_EQ(DeadLetters(path_).drop({.ids = {last}}), 1u);
  // The pipeline that runs sees it.
  EXPECT_EQ(catalog_.count_letters("a"), 1u);
  catalog_.store_letters("b", {wide_letter(30, 1)});
  EXPECT_GT(all({.sink = "b"})[0].id, last);
  EXPECT_EQ(DeadLetters(path_).drop({.sink = "a"}), 1u);
  EXPECT_EQ(all().size(), 1u);
}

TEST_F(DeadLettersTest, ALetterKnowsTheVersionOfItsTable) {
  sinks::DeadLetter later = wide_letter(20, 2);
  later.relation = table_with({"id", "name"});
  catalog_.store_letters("a", {wide_letter(10, 1), later, wide_letter(30, 1)});
  const std::vector<KeptLetter> letters = all();
  EXPECT_EQ(letters[0].letter.relation->columns.size(), 1u);
  EXPECT_EQ(letters[1].letter.relation->columns[1].name, "name");
  EXPECT_EQ(letters[2].letter.relation, letters[0].letter.relation);
}

}  // namespace
}  // namespace tailrace::pipeline
