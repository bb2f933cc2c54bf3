#include "formats/row_json.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "model/batch_for_test.h"

namespace tailrace::formats {
namespace {

using tailrace::test::items;

std::string value(std::uint32_t oid, const std::string& text, TypeKind kind = TypeKind::kBase,
                  std::uint32_t element = 0) {
  ColumnType type;
  type.base = type.declared = Oid(oid);
  type.kind = kind;
  type.element = Oid(element);
  std::string out;
  append_json_value(type, text, out);
  return out;
}
std::string array(std::uint32_t element, const std::string& text) { return value(1, text, TypeKind::kArray, element); }

TEST(RowJsonTest, NumbersKeepTheirLastDigit) {
  EXPECT_EQ(value(20, "9223372036854775807"), "9223372036854775807");
  EXPECT_EQ(value(1700, "-0.100000000000000000000000000000000001"), "-0.100000000000000000000000000000000001");
  EXPECT_EQ(value(701, "1e-300"), "1e-300");
}

TEST(RowJsonTest, NumbersThatJsonDoesNotHaveAreStrings) {
  EXPECT_EQ(value(1700, "NaN"), "\"NaN\"");
  EXPECT_EQ(value(701, "-Infinity"), "\"-Infinity\"");
}

TEST(RowJsonTest, TextIsEscapedWhereJsonWantsIt) {
  EXPECT_EQ(value(25, "a\"b\\c\n\x01é"), "\"a\\\"b\\\\c\\n\\u0001é\"");
  EXPECT_EQ(value(25, ""), "\"\"");
}

TEST(RowJsonTest, BooleansJsonAndTimesAreWhatTheyAreInJson) {
  EXPECT_EQ(value(16, "t"), "true");
  EXPECT_EQ(value(16, "f"), "false");
  EXPECT_EQ(value(114, "{\"a\":\n 1}"), "{\"a\":  1}");
  EXPECT_EQ(value(1184, "2024-01-31 12:00:00.5+00"), "\"2024-01-31T12:00:00.5+00:00\"");
  EXPECT_EQ(value(1114, "2024-01-31 12:00:00"), "\"2024-01-31T12:00:00\"");
  EXPECT_EQ(value(1184, "infinity"), "\"infinity\"");
  EXPECT_EQ(value(1184, "0044-03-15 12:00:00+00 BC"), "\"0044-03-15T12:00:00+00:00 BC\"");
}

TEST(RowJsonTest, ArraysAreArraysHoweverDeep) {
  EXPECT_EQ(array(23, "{1,NULL,3}"), "[1,null,3]");
  EXPECT_EQ(array(25, R"({a,"b,c","d\"e\\f",NULL,"NULL",""})"), R"(["a","b,c","d\"e\\f",null,"NULL",""])");
  EXPECT_EQ(array(23, "{{1,2},{3,4}}"), "[[1,2],[3,4]]");
  EXPECT_EQ(array(23, "[0:1]={7,8}"), "[7,8]");
  EXPECT_EQ(array(23, "{}"), "[]");
  EXPECT_EQ(array(16, "{t,f}"), "[true,false]");
}

TEST(RowJsonTest, WhatIsNoArrayLiteralIsAString) {
  EXPECT_EQ(array(21, "1 2 3"), "\"1 2 3\"");
  EXPECT_EQ(array(25, "{a,"), "\"{a,\"");
  EXPECT_EQ(array(25, "{\"a"), "\"{\\\"a\"");
}

TEST(RowJsonTest, ARowHasItsColumnsInOrderWithoutWhatWasNotSent) {
  const RelationPtr relation = items();
  const std::string row = tuple_bytes({"7", std::nullopt, kUnchanged});
  const RowJson json(*relation);
  std::string out;
  json.append(TupleView(row), out);
  EXPECT_EQ(out, R"({"id":7,"v":null})");
  out.clear();
  json.append_unchanged(TupleView(row), out);
  EXPECT_EQ(out, R"(["big"])");
  out.clear();
  json.append(TupleView(row), {1}, out);
  EXPECT_EQ(out, R"({"v":null})");
}

}  // namespace
}  // namespace tailrace::formats
