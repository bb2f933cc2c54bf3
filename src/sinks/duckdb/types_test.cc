#include "sinks/duckdb/types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;

std::int32_t numeric(int precision, int scale) { return ((precision << 16) | (scale & 0x7ff)) + 4; }

std::string mapped(std::uint32_t type, std::int32_t typmod = -1,
                   OnUnrepresentable how = OnUnrepresentable::kDeadLetter) {
  ColumnType column;
  column.base = Oid(type);
  column.base_typmod = typmod;
  return target_type(column, how).sql();
}

TEST(TargetTypes, NumericBecomesDecimalWhereItFits) {
  EXPECT_EQ(mapped(1700, numeric(10, 2)), "DECIMAL(10,2)");
  EXPECT_EQ(mapped(1700, numeric(38, 38)), "DECIMAL(38,38)");
  EXPECT_EQ(mapped(1700, numeric(5, -2)), "DECIMAL(7,0)");
  EXPECT_EQ(mapped(1700, numeric(3, 5)), "DECIMAL(5,5)");
  EXPECT_EQ(mapped(1700, numeric(39, 2)), "VARCHAR");
  EXPECT_EQ(mapped(1700, numeric(37, -2)), "VARCHAR");
  EXPECT_EQ(mapped(1700), "VARCHAR");
  EXPECT_EQ(mapped(1700, numeric(10, 2), OnUnrepresentable::kText), "VARCHAR");
}

TEST(TargetTypes, WhatDuckdbDoesNotHaveBecomesText) {
  EXPECT_EQ(mapped(790), "VARCHAR");    // money
  EXPECT_EQ(mapped(869), "VARCHAR");    // inet
  EXPECT_EQ(mapped(1560), "VARCHAR");   // bit
  EXPECT_EQ(mapped(99999), "VARCHAR");  // an extension's type
}

struct Case {
  const char* name;
  std::uint32_t type;
  std::int32_t typmod;
  std::uint32_t element;
  const char* sent;
  const char* shown;
};

const Case kCases[] = {
    {"int2", 21, -1, 0, "-32768", "-32768"},
    {"int4", 23, -1, 0, "2147483647", "2147483647"},
    {"int8", 20, -1, 0, "-9223372036854775808", "-9223372036854775808"},
    {"oid", 26, -1, 0, "4294967295", "4294967295"},
    {"bool", 16, -1, 0, "t", "true"},
    {"float8", 701, -1, 0, "-Infinity", "-inf"},
    {"float4", 700, -1, 0, "NaN", "nan"},
    {"decimal", 1700, numeric(20, 3), 0, "-12345678901234567.891", "-12345678901234567.891"},
    {"wide decimal", 1700, numeric(38, 2), 0, "123456789012345678901234567890123456.78",
     "123456789012345678901234567890123456.78"},
    {"exact text numeric", 1700, -1, 0, "1.50", "1.50"},
    {"char", 1042, 14, 0, "a         ", "a         "},
    {"text", 25, -1, 0, "a somewhat longer text with 'quotes' and €", "a somewhat longer text with 'quotes' and €"},
    {"bytea", 17, -1, 0, "\\x00ff10", "\\x00\\xFF\\x10"},
    {"long bytea", 17, -1, 0, "\\x4142434445464748494a4b4c4d4e4f50", "ABCDEFGHIJKLMNOP"},
    {"uuid", 2950, -1, 0, "f0000000-0000-4000-8000-00000000000f", "f0000000-0000-4000-8000-00000000000f"},
    {"low uuid", 2950, -1, 0, "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"},
    {"date", 1082, -1, 0, "0044-03-15 BC", "0044-03-15 (BC)"},
    {"endless date", 1082, -1, 0, "infinity", "infinity"},
    {"time", 1083, -1, 0, "24:00:00", "24:00:00"},
    {"timetz", 1266, -1, 0, "01:02:03.5-03:30", "01:02:03.5-03:30"},
    {"timestamp", 1114, -1, 0, "2026-01-31 01:02:03.000004", "2026-01-31 01:02:03.000004"},
    {"timestamptz", 1184, -1, 0, "2026-01-31 01:02:03+00", "2026-01-31 01:02:03+00"},
    {"endless timestamptz", 1184, -1, 0, "-infinity", "-infinity"},
    {"interval", 1186, -1, 0, "1 mon -30 days 00:00:01", "1 month -30 days 00:00:01"},
    {"json", 114, -1, 0, "{\"a\":  1}", "{\"a\":  1}"},
    {"int array", 0, -1, 23, "{1,NULL,3}", "[1, NULL, 3]"},
    {"empty array", 0, -1, 25, "{}", "[]"},
    {"text array", 0, -1, 25, "{\"longer than twelve bytes, quoted\",b}", "['longer than twelve bytes, quoted', b]"},
    {"decimal array", 0, numeric(5, 2), 1700, "{1.5,2.25}", "[1.50, 2.25]"},
};

RelationPtr of_cases() {
  std::vector<ColumnSpec> columns{{"id", 20, -1, 1}};
  for (const Case& c : kCases)
    columns.push_back({c.name, c.type, c.typmod, 0, c.element == 0 ? TypeKind::kBase : TypeKind::kArray, c.element});
  return table("types", columns);
}

Row row_of_cases(const std::string& id, bool null) {
  Row row{id};
  for (const Case& c : kCases) row.push_back(null ? Value() : Value(c.sent));
  return row;
}

TEST(TargetTypes, CopyAndStreamWriteTheSameExactValues) {
  Target target;
  const auto types = of_cases();
  target.copy({{types, {row_of_cases("1", false), row_of_cases("2", true)}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(types, row_of_cases("3", false)).insert(types, row_of_cases("4", true));
  batch.update(types, row_of_cases("2", false)).update(types, row_of_cases("1", true));
  target.apply(batch);
  EXPECT_TRUE(target.sink().take_dead_letters().empty());
  for (const Case& c : kCases) {
    const auto shown = target.query("SELECT " + identifier(c.name) + "::VARCHAR FROM public.types ORDER BY id");
    EXPECT_THAT(shown, ElementsAre("∅", c.shown, c.shown, "∅")) << c.name;
  }
}

TEST(TargetTypes, ValuesThatDoNotFitAreDeadLettersAndCloseTheirKey) {
  Target target;
  const auto t = table("t", {{"id", 20, -1, 1}, {"n", 1700, numeric(5, 2)}});
  target.copy({{t, {{"1", "1.00"}, {"2", "NaN"}, {"3", "3.00"}}}});
  auto letters = target.sink().take_dead_letters();
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters.front().operation, "copy");
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(t, {"4", "NaN"}).insert(t, {"5", "5.00"});
  target.apply(batch);
  Batch second(clock);
  second.begin().update(t, {"4", "4.00"}).update(t, {"2", "2.00"}).update(t, {"3", "NaN"}).update(t, {"1", "1.50"});
  target.apply(second);
  letters = target.sink().take_dead_letters();
  EXPECT_EQ(letters.size(), 4u);
  target.open();
  Batch third(clock);
  third.begin().remove(t, {"3", std::nullopt}).update(t, {"5", "5.50"});
  target.apply(third);
  EXPECT_THAT(target.rows("public.t"), ElementsAre("1|1.50", "3|3.00", "5|5.50"));
  EXPECT_EQ(target.sink().counters().dead_lettered, 5u);
  EXPECT_EQ(target.sink().counters().applied, 3u);
  Batch fourth(clock);
  fourth.begin().truncate(t).insert(t, {"4", "4.00"});
  target.apply(fourth);
  EXPECT_THAT(target.rows("public.t"), ElementsAre("4|4.00"));
  EXPECT_TRUE(target.sink().problems().empty());
}

TEST(TargetTypes, TheTextOptionHoldsEveryValue) {
  DuckdbSpec spec;
  spec.on_unrepresentable = OnUnrepresentable::kText;
  Target target(spec);
  const auto t = table(
      "t", {{"id", 20, -1, 1}, {"n", 1700, numeric(5, 2)}, {"a", 1007, -1, 0, TypeKind::kArray, 23}, {"t", 1184}});
  target.copy({{t, {{"1", "NaN", "{{1,2},{3,4}}", "294276-12-31 23:59:59+00"}}}});
  EXPECT_THAT(target.rows("public.t"), ElementsAre("1|NaN|{{1,2},{3,4}}|294276-12-31 23:59:59+00"));
}

TEST(TargetTypes, KeylessRowsWithUnusualValuesAreCounted) {
  Target target;
  const auto t =
      table("t", {{"f", 701}, {"i", 1186}, {"a", 1007, -1, 0, TypeKind::kArray, 23}}, ReplicaIdentity::kFull);
  target.copy({{t,
                {{"0", "1 mon", "{1}"},
                 {"-0", "30 days", "{1}"},
                 {"NaN", std::nullopt, std::nullopt},
                 {"NaN", std::nullopt, std::nullopt}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().remove_full(t, {"0", "30 days", "{1}"}).remove_full(t, {"NaN", std::nullopt, std::nullopt});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.t"), ElementsAre("0.0|1 month|[1]", "nan|∅|∅"));
}

}  // namespace
}  // namespace tailrace::duckdb::test
