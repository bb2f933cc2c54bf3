#include "sinks/clickhouse/types.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error_code_for_test.h"
#include "model/batch_for_test.h"
#include "sinks/clickhouse/connection.h"
#include "sinks/clickhouse/row_binary.h"
#include "sinks/clickhouse/spec.h"

namespace tailrace::clickhouse {
namespace {

ColumnType type(std::uint32_t oid, std::int32_t typmod = -1) {
  ColumnType made;
  made.base = made.declared = Oid(oid);
  made.base_typmod = made.typmod = typmod;
  return made;
}

ColumnType array_of(std::uint32_t element) {
  ColumnType made = type(1007);
  made.kind = TypeKind::kArray;
  made.element = Oid(element);
  return made;
}

constexpr std::uint32_t kInt4 = 23;
constexpr std::uint32_t kInt8 = 20;
constexpr std::uint32_t kText = 25;
constexpr std::uint32_t kDate = 1082;
constexpr std::uint32_t kTimestamp = 1114;
constexpr std::uint32_t kNumeric = 1700;

std::int32_t numeric(int precision, int scale) { return 4 + (precision << 16 | (scale & 0x7ff)); }

/// The bytes in hexadecimal, or why there are none.
std::string written(const ColumnType& source, const std::string& target, const std::string& text) {
  const TargetType parsed = parse_type(target).value();
  const Cell cell(source, parsed, false);
  std::string out;
  const char* reason = cell.append(text, out);
  EXPECT_EQ(reason == nullptr, cell.refusal_of(text) == nullptr) << target << " " << text;
  if (reason != nullptr) return reason;
  std::string hex;
  for (const char c : out) {
    hex += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    hex += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return hex;
}

bool is_refused(const ColumnType& source, const std::string& target, const std::string& text) {
  return written(source, target, text).find(' ') != std::string::npos;
}

TEST(ClickhouseTypesTest, AreReadAsTheServerPrintsThem) {
  EXPECT_EQ(parse_type("LowCardinality(Nullable(String))")->nullable, true);
  EXPECT_EQ(parse_type("Array(Nullable(Decimal(10, 2)))")->width, 10);
  EXPECT_TRUE(parse_type("Array(Nullable(Decimal(10, 2)))")->array);
  EXPECT_EQ(parse_type("DateTime64(3, 'UTC')")->scale, 3);
  EXPECT_EQ(parse_type("DateTime('Europe/Berlin')")->form, Form::kDateTime);
  EXPECT_EQ(parse_type("FixedString(3)")->size, 3U);
  for (const char* other : {"Map(String, String)", "Tuple(Int32)", "Array(Array(Int32))", "Enum8('a' = 1)", "Int256",
                            "JSON", "Decimal(77, 2)", "Nullable(Nothing)", ""})
    EXPECT_FALSE(parse_type(other)) << other;
}

TEST(ClickhouseTypesTest, OfOurColumnsAreExact) {
  EXPECT_EQ(made_type(type(kInt8), false), "Int64");
  EXPECT_EQ(made_type(type(kInt8), true), "Nullable(Int64)");
  EXPECT_EQ(made_type(type(kNumeric, numeric(76, 10)), false), "Decimal(76, 10)");
  EXPECT_EQ(made_type(type(kNumeric, numeric(77, 10)), false), "String");
  EXPECT_EQ(made_type(type(kNumeric, numeric(3, -2)), false), "Decimal(5, 0)");
  EXPECT_EQ(made_type(type(kNumeric, numeric(2, 5)), false), "Decimal(5, 5)");
  EXPECT_EQ(made_type(type(kNumeric), false), "String");
  EXPECT_EQ(made_type(array_of(kInt4), false), "Array(Nullable(Int32))");
  EXPECT_EQ(made_type(array_of(kInt4), true), "Nullable(String)") << "there is no array that is NULL";
  ColumnType state = type(99999);
  state.kind = TypeKind::kEnum;
  EXPECT_EQ(made_type(state, false), "LowCardinality(String)");
}

TEST(ClickhouseTypesTest, FitWhereTheyMeanTheSame) {
  EXPECT_TRUE(fits(type(kInt8), parse_type("UInt64").value()));
  EXPECT_TRUE(fits(type(kDate), parse_type("String").value()));
  EXPECT_TRUE(fits(array_of(kText), parse_type("Array(String)").value()));
  EXPECT_FALSE(fits(array_of(kText), parse_type("Array(Int32)").value()));
  EXPECT_FALSE(fits(type(kDate), parse_type("DateTime64(3)").value()));
  EXPECT_FALSE(fits(type(kText), parse_type("Int32").value()));
  EXPECT_FALSE(fits(type(701), parse_type("Float32").value()));
  EXPECT_FALSE(fits(type(kInt4), parse_type("Array(Int32)").value()));
}

TEST(RowBinaryTest, NumbersAreLittleEndianAndInRange) {
  EXPECT_EQ(written(type(kInt4), "Int32", "-2"), "feffffff");
  EXPECT_EQ(written(type(kInt8), "UInt64", "9223372036854775807"), "ffffffffffffff7f");
  EXPECT_EQ(written(type(kNumeric), "UInt64", "18446744073709551615"), "ffffffffffffffff");
  EXPECT_EQ(written(type(16), "Nullable(Bool)", "t"), "0001");
  EXPECT_TRUE(is_refused(type(kInt8), "UInt64", "-1"));
  EXPECT_TRUE(is_refused(type(kNumeric), "UInt64", "18446744073709551616"));
  EXPECT_TRUE(is_refused(type(kInt4), "Int8", "128"));
  EXPECT_TRUE(is_refused(type(kNumeric), "Int64", "1.5"));
}

TEST(RowBinaryTest, DecimalsHaveUpTo76Digits) {
  EXPECT_EQ(written(type(kNumeric, numeric(9, 2)), "Decimal(9, 2)", "-1.5"), "6affffff");
  EXPECT_EQ(written(type(kNumeric, numeric(20, 0)), "Decimal(20, 0)", "1"), "01000000000000000000000000000000");
  EXPECT_EQ(written(type(kNumeric, numeric(40, 0)), "Decimal(40, 0)", "-1"), std::string(64, 'f'));
  // 2^128: the first number that has no room in 128 bits.
  EXPECT_EQ(written(type(kNumeric, numeric(40, 1)), "Decimal(40, 1)", "34028236692093846346337460743176821145.6"),
            std::string(32, '0') + "01" + std::string(30, '0'));
  for (const char* text : {"NaN", "Infinity", "-Infinity"}) {
    EXPECT_TRUE(is_refused(type(kNumeric, numeric(9, 2)), "Decimal(9, 2)", text));
    EXPECT_TRUE(is_refused(type(kNumeric, numeric(76, 2)), "Decimal(76, 2)", text));
  }
  EXPECT_TRUE(is_refused(type(kNumeric), "Decimal(40, 1)", "0.05")) << "digits are never dropped";
  EXPECT_TRUE(is_refused(type(kNumeric), "Decimal(40, 1)", std::string(40, '9')));
}

TEST(RowBinaryTest, TimesEndWhereTheTypesEnd) {
  EXPECT_EQ(written(type(kDate), "Date32", "1970-01-02"), "01000000");
  EXPECT_FALSE(is_refused(type(kDate), "Date32", "1900-01-01"));
  EXPECT_FALSE(is_refused(type(kDate), "Date32", "2299-12-31"));
  for (const char* text : {"1899-12-31", "2300-01-01", "infinity", "-infinity", "2024-01-01 BC", "12024-01-01"})
    EXPECT_TRUE(is_refused(type(kDate), "Date32", text)) << text;
  EXPECT_EQ(written(type(kTimestamp), "DateTime64(6, 'UTC')", "1970-01-01 00:00:00.000001"), "0100000000000000");
  EXPECT_EQ(written(type(kTimestamp), "DateTime64(3)", "1969-12-31 23:59:59.9999"), "ffffffffffffffff");
  EXPECT_EQ(written(type(kTimestamp), "DateTime", "1970-01-01 00:00:02.5"), "02000000");
  for (const char* text : {"1899-12-31 23:59:59.999999", "2300-01-01 00:00:00", "infinity", "0001-01-01 00:00:00 BC"})
    EXPECT_TRUE(is_refused(type(kTimestamp), "DateTime64(6)", text)) << text;
  EXPECT_TRUE(is_refused(type(kTimestamp), "DateTime64(9)", "2262-04-11 23:47:16.854776"));
  EXPECT_TRUE(is_refused(type(kTimestamp), "DateTime", "1969-12-31 23:59:59"));
  EXPECT_TRUE(is_refused(type(kDate), "Date", "1969-12-31"));
}

TEST(RowBinaryTest, TextsBytesAndArrays) {
  EXPECT_EQ(written(type(kText), "String", "ab"), "026162");
  EXPECT_EQ(written(type(kText), "FixedString(3)", "ab"), "616200");
  EXPECT_TRUE(is_refused(type(kText), "FixedString(1)", "ab"));
  EXPECT_EQ(written(type(17), "String", "\\x00ff"), "0200ff");
  EXPECT_EQ(written(array_of(kInt4), "Array(Nullable(Int32))", "{1,NULL}"), "02000100000001");
  EXPECT_EQ(written(array_of(kInt4), "Array(Int32)", "{}"), "00");
  EXPECT_TRUE(is_refused(array_of(kInt4), "Array(Int32)", "{NULL}"));
  EXPECT_TRUE(is_refused(array_of(kInt4), "Array(Int32)", "{{1},{2}}"));
  EXPECT_TRUE(is_refused(array_of(kInt4), "Array(Int32)", "[2:3]={1,2}"));
  EXPECT_EQ(written(array_of(kInt4), "String", "{1,NULL}"), "085b312c6e756c6c5d") << "[1,null]";
  EXPECT_EQ(written(type(2950), "UUID", "00112233-4455-6677-8899-aabbccddeeff"), "7766554433221100ffeeddccbbaa9988");
}

TEST(RowBinaryTest, AKeyThatIsNoNumberIsRefused) {
  const ColumnType source = type(701);
  EXPECT_NE(Cell(source, parse_type("Float64").value(), true).refusal_of("NaN"), nullptr);
  EXPECT_EQ(Cell(source, parse_type("Float64").value(), false).refusal_of("NaN"), nullptr);
}

TEST(ClickhouseUrlTest, SaysWhereAndWho) {
  const Address address = parse_url("clickhouses://ann:p%40ss%2F@[::1]:7000/sh%20op");
  EXPECT_EQ(address.host, "::1");
  EXPECT_EQ(address.port, 7000);
  EXPECT_EQ(address.user, "ann");
  EXPECT_EQ(address.password, "p@ss/");
  EXPECT_EQ(address.database, "sh op");
  EXPECT_TRUE(address.tls);
  EXPECT_EQ(address.display(), "clickhouses://[::1]:7000/sh op") << "without secrets";
  EXPECT_EQ(parse_url("http://host").display(), "clickhouse://host:8123/default");
  EXPECT_EQ(parse_url("https://host").port, 8443);
  EXPECT_EQ(parse_url("clickhouse://:secret@host/").user, "default");
}

TEST(ClickhouseUrlTest, WhatIsNoUrlIsNamedWithoutItsSecrets) {
  for (const char* url :
       {"redis://host", "clickhouse://", "http://host:x", "http://host:0", "http://host/a/b", "http://host/?user=x",
        "http://[::1", "http://[::1]x", "http://a:%zz@host", "http://a:secret@host:x", "http://a:secret%0d%0aX@host"}) {
    EXPECT_EQ(code_of([&] { parse_url(url); }), "TR848") << url;
    try {
      parse_url(url);
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos);
    }
  }
}

TEST(ClickhouseNamesTest, AreQuoted) {
  EXPECT_EQ(identifier("a`b\\c"), "`a\\`b\\\\c`");
  EXPECT_EQ(literal("it's \\"), "'it\\'s \\\\'");
}

std::string reaction(int code, const std::string& text, bool is_insert) {
  const std::string body = "Code: " + std::to_string(code) + ". DB::Exception: " + text;
  return code_of([&] { throw_error(read_error(500, 0, body), "here", is_insert); });
}

TEST(ClickhouseErrorTest, AsksForWhatItsNumberMeans) {
  for (const int code : {3, 107, 159, 164, 202, 203, 209, 210, 241, 242, 252, 285, 319, 425, 999})
    EXPECT_EQ(reaction(code, "x", true), "TR842") << code;
  EXPECT_EQ(reaction(516, "x (AUTHENTICATION_FAILED)", false), "TR841");
  EXPECT_EQ(reaction(81, "x", true), "TR843");
  EXPECT_EQ(reaction(60, "x", true), "TR844");
  EXPECT_EQ(reaction(469, "x", true), "TR847");
  EXPECT_EQ(reaction(469, "x", false), "TR846");
  EXPECT_EQ(reaction(12345, "x", true), "TR846");
  EXPECT_EQ(code_of([] { throw_error(read_error(503, 0, "<html>"), "here", true); }), "TR840");
  EXPECT_EQ(code_of([] { throw_error(read_error(403, 0, "<html>"), "here", true); }), "TR841");
  EXPECT_EQ(code_of([] { throw_error(read_error(200, 241, ""), "here", true); }), "TR842") << "the header says it, too";
}

TEST(ClickhouseErrorTest, OfAMaterializedViewIsNotOfTheRows) {
  const char* text =
      "Code: 6. DB::Exception: Cannot parse string 'secret' as Int32: while executing 'FUNCTION toInt32(t : 0)': while "
      "pushing to view shop.daily (6c1b): (CANNOT_PARSE_TEXT) (version 26.5.1.1 (official build))";
  try {
    throw_error(read_error(500, 6, text), "here", true);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "TR825");
    EXPECT_EQ(std::string(error.what()), "materialized view shop.daily of here fails (code 6, CANNOT_PARSE_TEXT)");
  }
}

TEST(ClickhouseErrorTest, OfRowsRepeatsNoValue) {
  try {
    throw_error(
        read_error(
            400, 469,
            "Code: 469. DB::Exception: value 'secret' (1) (VIOLATED_CONSTRAINT) (version 26.5.1.1 (official build))"),
        "here", true);
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "ClickHouse refuses the row (code 469, VIOLATED_CONSTRAINT)");
  }
}

}  // namespace
}  // namespace tailrace::clickhouse
