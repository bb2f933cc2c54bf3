// What tells the rows of a table apart changes from one place of the log to the next, and under FULL the relation may
// name a key that was not there yet.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "sinks/duckdb/duckdb_sink.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kFull = ReplicaIdentity::kFull;
constexpr auto kDefault = ReplicaIdentity::kDefault;

RelationPtr by_id(ReplicaIdentity identity) { return table("t", {{"id", 20, -1, 1}, {"code"}, {"v"}}, identity); }
RelationPtr by_code(ReplicaIdentity identity) { return table("t", {{"id", 20}, {"code", 25, -1, 1}, {"v"}}, identity); }
RelationPtr by_nothing(ReplicaIdentity identity) { return table("t", {{"id", 20}, {"code"}, {"v"}}, identity); }

DuckdbSpec with_history() {
  DuckdbSpec spec;
  spec.history = {"public.*"};
  return spec;
}

const std::string kVersions =
    "SELECT id::VARCHAR, code, v, is_current::VARCHAR, from_lsn::VARCHAR, to_lsn::VARCHAR FROM public.t__history "
    "ORDER BY from_lsn, id, code, v";

/// Applies the batch as the runner does: a retry is done again from what is durable. The codes of the retries.
std::vector<std::string> apply_with_retries(Target& target, Batch& batch) {
  std::vector<std::string> codes;
  while (codes.size() < 3) {
    try {
      target.apply(batch);
      return codes;
    } catch (const RetryError& error) {
      codes.push_back(error.code());
      target.sink().open();
    }
  }
  return codes;
}

TEST(MatchKey, AnotherPrimaryKeyHoldsFromItsFirstChangeOn) {
  Target target(with_history());
  target.copy({{by_id(kDefault), {{"1", "a", "x"}, {"2", "b", "y"}}}});
  const auto old_key = by_id(kDefault);
  const auto new_key = by_code(kDefault);
  Clock clock;
  Batch batch(clock);
  batch.begin().update_key(old_key, {"1", std::nullopt, std::nullopt}, {"9", "a", kUnchanged});
  batch.begin().update(new_key, {"2", "a", "x2"}).update(new_key, {"2", "b", "y2"});
  batch.remove(new_key, {std::nullopt, "b", std::nullopt});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.t"), ElementsAre("2|a|x2"));
  EXPECT_THAT(target.query(kVersions), ElementsAre("1|a|x|false|1000|1100", "2|b|y|false|1000|1200",
                                                   "9|a|x|false|1100|1200", "2|a|x2|true|1200|∅"));
  EXPECT_EQ(target.sink().counters().applied, 4u);
  target.open();
  EXPECT_EQ(target.state().copied.front().relation->match_key(), (std::vector<std::size_t>{1}));
}

TEST(MatchKey, ChangesInsideOneTransactionAndVersionsInItWereNeverSeen) {
  Target target(with_history());
  target.copy({{by_id(kDefault), {{"1", "a", "x"}}}});
  const auto old_key = by_id(kDefault);
  const auto new_key = by_code(kDefault);
  Clock clock;
  Batch batch(clock);
  batch.begin().update(old_key, {"1", "b", "x"}).insert(old_key, {"2", "c", "z"});
  batch.update(new_key, {"5", "b", "x5"}).remove(new_key, {std::nullopt, "c", std::nullopt});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.t"), ElementsAre("5|b|x5"));
  EXPECT_THAT(target.query(kVersions), ElementsAre("1|a|x|false|1000|1100", "5|b|x5|true|1100|∅"));
}

TEST(MatchKey, IdentityMayBecomeFullLoseItsKeyAndGetOneAgain) {
  Target target;
  target.copy({{by_id(kDefault), {{"1", "a", "x"}, {"2", "b", "y"}}}});
  const auto full = by_nothing(kFull);
  const auto with_key = by_code(kFull);
  const auto keyless = by_nothing(kDefault);
  Clock clock;
  Batch batch(clock);
  batch.begin().update(by_id(kDefault), {"1", "a", "x1"});
  batch.begin().update_full(full, {"1", "a", "x1"}, {"1", "a", kUnchanged}).insert(full, {"1", "a", "x1"});
  batch.begin().remove_full(full, {"1", "a", "x1"});
  batch.begin().update_full(with_key, {"2", "b", "y"}, {"2", "c", "y"});
  batch.begin().insert(keyless, {"3", "d", "z"});
  batch.begin().update(by_id(kDefault), {"3", "d", "z3"});
  EXPECT_THAT(apply_with_retries(target, batch), IsEmpty());
  EXPECT_THAT(target.rows("public.t"), ElementsAre("1|a|x1", "2|c|y", "3|d|z3"));
}

// The key was added behind these changes; the catalog named it when they were read.
TEST(MatchKey, AKeyThatCameLaterBendsNothing) {
  const auto claimed = by_id(kFull);
  const std::vector<Row> copied = {{"1", "a", "x"}, {"1", "b", "x"}, {"2", "c", "x"}};
  const auto expect_exact = [&](const std::function<void(Batch&)>& change, const std::vector<std::string>& rows) {
    Target target(with_history());
    target.copy({{claimed, copied}});
    Clock clock;
    Batch batch(clock);
    change(batch);
    EXPECT_THAT(apply_with_retries(target, batch), ElementsAre("TR619"));
    EXPECT_EQ(target.rows("public.t"), rows);
    EXPECT_EQ(target.query("SELECT id::VARCHAR, code, v FROM public.t__history WHERE is_current ORDER BY ALL"), rows);
    EXPECT_THAT(target.sink().problems(), IsEmpty());
  };
  // Another row of the key is in the target; only one of the two changes.
  expect_exact([&](Batch& batch) { batch.begin().update_full(claimed, {"1", "a", "x"}, {"1", "a", "y"}); },
               {"1|a|y", "1|b|x", "2|c|x"});
  // One is new, the other one changes.
  expect_exact(
      [&](Batch& batch) {
        batch.begin().insert(claimed, {"2", "new", "x"}).update_full(claimed, {"2", "c", "x"}, {"2", "c", "y"});
      },
      {"1|a|x", "1|b|x", "2|c|y", "2|new|x"});
  // One changes, the other one goes.
  expect_exact(
      [&](Batch& batch) {
        batch.begin().insert(claimed, {"2", "new", "x"}).remove_full(claimed, {"2", "c", "x"});
        batch.insert(claimed, {"4", "d", "x"});
      },
      {"1|a|x", "1|b|x", "2|new|x", "4|d|x"});
  // The key was nullable then.
  expect_exact(
      [&](Batch& batch) {
        batch.begin().insert(claimed, {std::nullopt, "n", "x"});
        batch.begin().update_full(claimed, {std::nullopt, "n", "x"}, {"7", "n", "x"});
      },
      {"1|a|x", "1|b|x", "2|c|x", "7|n|x"});
}

TEST(MatchKey, AWholeRowThatIsNotThereHoldsTheTable) {
  const auto claimed = by_id(kFull);
  Target target;
  target.copy({{claimed, {{"1", "a", "x"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().update_full(claimed, {"2", "b", "x"}, {"2", "b", "y"});
  EXPECT_THAT(apply_with_retries(target, batch), ElementsAre("TR619", "TR612"));
  EXPECT_THAT(target.rows("public.t"), ElementsAre("1|a|x"));
  ASSERT_EQ(target.sink().problems().size(), 1u);
  EXPECT_EQ(target.sink().problems().front().code, "TR612");
}

TEST(MatchKey, WhereRowsAreKnownByTheirKeyAloneAnotherKeyHoldsTheTable) {
  Target target;
  target.copy({{by_id(kDefault), {{"1", "a", "x"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(by_id(kDefault), {"2", "b", kUnchanged});
  batch.begin().update(by_code(kDefault), {"1", "a", "y"});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.t"), ElementsAre("1|a|x"));
  EXPECT_EQ(target.sink().counters().held, 1u);
  EXPECT_EQ(target.sink().problems().front().code, "TR610");
}

}  // namespace
}  // namespace tailrace::duckdb::test
