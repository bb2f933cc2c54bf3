#include "sinks/duckdb/row_conditions.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/batch_for_test.h"

namespace tailrace::duckdb {
namespace {

using tailrace::test::Row;
using tailrace::test::table;

RelationPtr payments() {
  return table("payments", {{"id", 20, -1, 1}, {"amount", 1700, ((10 << 16) | 2) + 4}, {"status", 25}, {"ok", 16}});
}

std::optional<std::size_t> broken(RowConditions& conditions, const Row& row) {
  const std::string bytes = tuple_bytes(row);
  return conditions.broken_by(TupleView(bytes));
}

TEST(RowConditionsTest, TheFirstConditionThatIsFalseIsNamedAndNullHolds) {
  RowConditions conditions(*payments(), {}, {"amount * 3 < 1", "ok OR status = 'lost' -- a comment"});
  EXPECT_EQ(broken(conditions, {"1", "0.33", "x", "t"}), std::nullopt);
  EXPECT_EQ(broken(conditions, {"1", "0.34", "x", "t"}), 0U);
  EXPECT_EQ(broken(conditions, {"1", "0.33", "x", "f"}), 1U);
  EXPECT_EQ(broken(conditions, {"1", "0.33", "lost", "f"}), std::nullopt);
  EXPECT_EQ(broken(conditions, {"1", std::nullopt, "x", "t"}), std::nullopt);
}

TEST(RowConditionsTest, PatternsMatchTheWholeText) {
  RowConditions conditions(*payments(), {{.column = "status", .regex = "[a-z]+'?"}}, {});
  EXPECT_EQ(broken(conditions, {"1", "1", "abc", "t"}), std::nullopt);
  EXPECT_EQ(broken(conditions, {"1", "1", "abc'", "t"}), std::nullopt);
  EXPECT_EQ(broken(conditions, {"1", "1", "abc1", "t"}), 0U);
  EXPECT_EQ(broken(conditions, {"1", "1", std::nullopt, "t"}), std::nullopt);
}

TEST(RowConditionsTest, WhatCannotBeComputedForARowIsBroken) {
  RowConditions conditions(*payments(), {}, {"status::INTEGER > 0"});
  EXPECT_EQ(broken(conditions, {"1", "1", "7", "t"}), std::nullopt);
  EXPECT_EQ(broken(conditions, {"1", "1", "seven", "t"}), 0U);
}

TEST(RowConditionsTest, WhatDuckdbCannotReadIsNamed) {
  EXPECT_THROW(RowConditions(*payments(), {}, {"amount <"}), RefusedError);
  EXPECT_THROW(RowConditions(*payments(), {}, {"nothing > 1"}), RefusedError);
  EXPECT_THROW(RowConditions(*payments(), {{.column = "status", .regex = "["}}, {}), RefusedError);
}

}  // namespace
}  // namespace tailrace::duckdb
