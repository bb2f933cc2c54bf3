#include "rules/row_rules.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/batch_for_test.h"

namespace tailrace::rules {
namespace {

using tailrace::test::Row;
using tailrace::test::table;

/// Patterns and SQL are somebody else's.
ConditionMaker none() {
  return [](const Relation&, const std::vector<Pattern>&, const std::vector<std::string>&) {
    return std::unique_ptr<Conditions>();
  };
}

RelationPtr payments() { return table("payments", {{"id", 20, -1, 1}, {"amount", 1700}, {"status", 25}}); }

std::string judged(TableRules rules, const Row& row) {
  rules.tables = "payments";
  const RelationPtr relation = payments();
  const auto check = RowRules({std::move(rules)}, none()).check_for(*relation);
  const std::string bytes = tuple_bytes(row);
  const char* reason = check->refusal_of(TupleView(bytes));
  return reason == nullptr ? "" : reason;
}

Number number(const char* text) { return *Number::parse(text); }

TEST(NumberTest, NumbersAreComparedExactlyHoweverTheyAreWritten) {
  const std::vector<std::string> ascending = {"-Infinity",
                                              "-1e300",
                                              "-10.5",
                                              "-10.25",
                                              "-0.001",
                                              "0",
                                              "0.0009",
                                              "1e-3",
                                              "0.1",
                                              "0.1001",
                                              "9",
                                              "10",
                                              "10.0001",
                                              "1e2",
                                              "12345678901234567890123.4",
                                              "12345678901234567890123.5",
                                              "Infinity"};
  for (std::size_t a = 0; a < ascending.size(); ++a)
    for (std::size_t b = 0; b < ascending.size(); ++b)
      EXPECT_EQ(number(ascending[a].c_str()) <=> number(ascending[b].c_str()), a <=> b) << ascending[a] << ascending[b];
  EXPECT_EQ(number("1.50"), number("1.5"));
  EXPECT_EQ(number("-0.00"), number("0"));
  EXPECT_EQ(number("1e+2"), number("100"));
  for (const char* text : {"", "NaN", "-", ".", "1e", "1.2.3", "1x", "0x10", " 1"})
    EXPECT_FALSE(Number::parse(text)) << text;
}

TEST(RowRulesTest, ValuesBreakTheRulesOfTheirColumnsAndTheReasonNamesTheRuleOnly) {
  const TableRules rules{.not_null = {"status"},
                         .ranges = {{.column = "amount", .least = number("0"), .most = number("100")}},
                         .choices = {{.column = "status", .values = {"pending", "completed"}}}};
  EXPECT_EQ(judged(rules, {"1", "0.00", "pending"}), "");
  EXPECT_EQ(judged(rules, {"1", "100.000", "completed"}), "");
  EXPECT_EQ(judged(rules, {"1", "-0.01", "pending"}), "validation: `range` of `amount`");
  EXPECT_EQ(judged(rules, {"1", "100.001", "pending"}), "validation: `range` of `amount`");
  EXPECT_EQ(judged(rules, {"1", "NaN", "pending"}), "validation: `range` of `amount`");
  EXPECT_EQ(judged(rules, {"1", "1", "lost"}), "validation: `in` of `status`");
  EXPECT_EQ(judged(rules, {"1", "1", std::nullopt}), "validation: `not_null` of `status`");
  EXPECT_EQ(judged(rules, {"1", std::nullopt, "pending"}), "") << "only not_null asks for a value";
}

TEST(RowRulesTest, NumbersInAListAreNumbers) {
  const TableRules rules{.choices = {{.column = "amount", .values = {"1.5", "2"}}}};
  EXPECT_EQ(judged(rules, {"1", "1.50", "x"}), "");
  EXPECT_EQ(judged(rules, {"1", "2.0", "x"}), "");
  EXPECT_NE(judged(rules, {"1", "3", "x"}), "");
}

TEST(RowRulesTest, RulesThatDoNotFitTheTableAreNamed) {
  const auto code = [](TableRules rules) -> std::string {
    try {
      judged(std::move(rules), {"1", "1", "x"});
    } catch (const RefusedError& error) {
      return error.code();
    }
    return "";
  };
  EXPECT_EQ(code({.not_null = {"nothing"}}), "TR871");
  EXPECT_EQ(code({.ranges = {{.column = "status", .least = number("1"), .most = {}}}}), "TR871");
  EXPECT_EQ(code({.choices = {{.column = "amount", .values = {"one"}}}}), "TR871");
  EXPECT_EQ(code({.patterns = {{.column = "nothing", .regex = "x"}}}), "TR871");
}

TEST(RowRulesTest, OtherTablesHaveNoCheck) {
  EXPECT_EQ(RowRules({{.tables = "public.orders", .not_null = {"id"}}}, none()).check_for(*payments()), nullptr);
  EXPECT_NE(RowRules({{.tables = "public.pay*", .not_null = {"id"}}}, none()).check_for(*payments()), nullptr);
}

}  // namespace
}  // namespace tailrace::rules
