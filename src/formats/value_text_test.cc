#include "formats/value_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>

namespace tailrace::formats {
namespace {

constexpr std::int64_t kSecond = 1000000;

std::int64_t timestamp(ByteView text) {
  std::int64_t value = -1;
  EXPECT_TRUE(parse_timestamp(text, value)) << text;
  return value;
}

TEST(ValueText, ReadsTimestampsOfEveryEra) {
  EXPECT_EQ(timestamp("1970-01-01 00:00:00"), 0);
  EXPECT_EQ(timestamp("2000-01-01 00:00:00.5"), 946684800 * kSecond + 500000);
  EXPECT_EQ(timestamp("1969-12-31 23:59:59.999999"), -1);
  EXPECT_EQ(timestamp("2026-01-31 12:00:00+05:30"), timestamp("2026-01-31 06:30:00"));
  EXPECT_EQ(timestamp("0001-12-31 00:00:00 BC"), timestamp("0001-01-01 00:00:00") - 86400 * kSecond);
  EXPECT_EQ(timestamp("4714-11-24 00:00:00+00 BC"), -210866803200 * kSecond);
  EXPECT_EQ(timestamp("infinity"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(timestamp("-infinity"), -std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(timestamp("294247-01-10 04:00:54.775806"), std::numeric_limits<std::int64_t>::max() - 1);
}

TEST(ValueText, RefusesTimestampsThatDoNotFit) {
  std::int64_t value = 0;
  EXPECT_FALSE(parse_timestamp("294247-01-10 04:00:54.775807", value));
  EXPECT_FALSE(parse_timestamp("294276-12-31 23:59:59.999999", value));
  EXPECT_FALSE(parse_timestamp("2026-01-31", value));
  EXPECT_FALSE(parse_timestamp("2026-13-31 00:00:00", value));
  EXPECT_FALSE(parse_timestamp("", value));
}

TEST(ValueText, ReadsDatesAndTimes) {
  std::int32_t days = 0;
  EXPECT_TRUE(parse_date("1970-01-02", days));
  EXPECT_EQ(days, 1);
  EXPECT_TRUE(parse_date("5874897-12-31", days));
  EXPECT_TRUE(parse_date("4713-01-01 BC", days));
  EXPECT_TRUE(parse_date("-infinity", days));
  EXPECT_EQ(days, -std::numeric_limits<std::int32_t>::max());
  std::int64_t micros = 0;
  EXPECT_TRUE(parse_time("24:00:00", micros));
  EXPECT_EQ(micros, 86400 * kSecond);
  EXPECT_FALSE(parse_time("24:00:01", micros));
  std::int32_t offset = 0;
  EXPECT_TRUE(parse_timetz("01:02:03.000004-03:30", micros, offset));
  EXPECT_EQ(micros, 3723000004);
  EXPECT_EQ(offset, -12600);
}

TEST(ValueText, ReadsIntervalsWithMixedSigns) {
  IntervalValue value;
  EXPECT_TRUE(parse_interval("1 year 2 mons -3 days -04:05:06.789", value));
  EXPECT_EQ(value.months, 14);
  EXPECT_EQ(value.days, -3);
  EXPECT_EQ(value.micros, -(14706 * kSecond + 789000));
  EXPECT_TRUE(parse_interval("-178000000 years", value));
  EXPECT_EQ(value.months, -2136000000);
  EXPECT_TRUE(parse_interval("1 mon +2 days", value));
  EXPECT_EQ(value.days, 2);
  EXPECT_TRUE(parse_interval("00:00:00", value));
  EXPECT_TRUE(parse_interval("2562047788:00:54.775807", value));
  EXPECT_EQ(value.micros, std::numeric_limits<std::int64_t>::max());
  EXPECT_TRUE(parse_interval("-2562047788:00:54.775808", value));
  EXPECT_EQ(value.micros, std::numeric_limits<std::int64_t>::min());
  EXPECT_FALSE(parse_interval("infinity", value));
  EXPECT_FALSE(parse_interval("768614336404564651 years", value));
  EXPECT_FALSE(parse_interval("2147483647 mons 1 mon", value));
  EXPECT_FALSE(parse_interval("-2147483649 days", value));
  EXPECT_FALSE(parse_interval("", value));
}

TEST(ValueText, ReadsIntegersUpToTheirBounds) {
  const auto read = [](const char* text) {
    std::int64_t value = -1;
    return parse_int(text, value) ? std::optional(value) : std::nullopt;
  };
  EXPECT_EQ(read("0"), 0);
  EXPECT_EQ(read("-42"), -42);
  EXPECT_EQ(read("999999999999999999"), 999999999999999999);
  EXPECT_EQ(read("-999999999999999999"), -999999999999999999);
  EXPECT_EQ(read("9223372036854775807"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(read("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  for (const char* text : {"", "-", "+1", "1 ", "1.0", "12a4", "9223372036854775808", "-9223372036854775809"})
    EXPECT_EQ(read(text), std::nullopt) << text;
}

TEST(ValueText, ReadsDecimalsExactly) {
  Int128 value = 0;
  EXPECT_TRUE(parse_decimal("-12.30", 5, 2, value));
  EXPECT_EQ(static_cast<std::int64_t>(value), -1230);
  EXPECT_TRUE(parse_decimal("12", 5, 2, value));
  EXPECT_EQ(static_cast<std::int64_t>(value), 1200);
  EXPECT_TRUE(parse_decimal("0.00012", 5, 5, value));
  EXPECT_EQ(static_cast<std::int64_t>(value), 12);
  EXPECT_TRUE(parse_decimal("99999999999999999999999999999999999999", 38, 0, value));
  EXPECT_FALSE(parse_decimal("100000000000000000000000000000000000000", 38, 0, value));
  EXPECT_FALSE(parse_decimal("9223372036854775808", 38, 38, value));
  for (const int width : {18, 19}) {
    EXPECT_TRUE(parse_decimal(std::string(static_cast<std::size_t>(width), '9'), width, 0, value));
    EXPECT_FALSE(parse_decimal(std::string(static_cast<std::size_t>(width) + 1, '9'), width, 0, value));
    EXPECT_TRUE(parse_decimal("-" + std::string(static_cast<std::size_t>(width) - 2, '9') + ".99", width, 2, value));
    EXPECT_LT(value, -Int128{99'999'999'999'999'999});
  }
  EXPECT_FALSE(parse_decimal("1000.00", 5, 2, value));
  EXPECT_FALSE(parse_decimal("1.234", 5, 2, value));
  EXPECT_FALSE(parse_decimal("NaN", 5, 2, value));
  EXPECT_FALSE(parse_decimal("Infinity", 38, 2, value));
}

TEST(ValueText, ReadsFloatsExactly) {
  double value = 0;
  EXPECT_TRUE(parse_double("1.7976931348623157e+308", value));
  EXPECT_TRUE(parse_double("5e-324", value));
  EXPECT_EQ(value, std::numeric_limits<double>::denorm_min());
  EXPECT_TRUE(parse_double("-0", value));
  EXPECT_TRUE(std::signbit(value));
  EXPECT_TRUE(parse_double("-Infinity", value));
  EXPECT_TRUE(parse_double("NaN", value));
  float small = 0;
  EXPECT_TRUE(parse_float("1e-45", small));
  EXPECT_EQ(small, std::numeric_limits<float>::denorm_min());
}

TEST(ValueText, KnowsWellFormedUtf8) {
  EXPECT_TRUE(valid_utf8("plain text that is longer than eight bytes"));
  EXPECT_TRUE(valid_utf8("grün € 😀 𐍈"));
  EXPECT_FALSE(valid_utf8("latin1: gr\xfcn"));
  EXPECT_FALSE(valid_utf8("\xc0\x80"));
  EXPECT_FALSE(valid_utf8("\xed\xa0\x80"));
  EXPECT_FALSE(valid_utf8("cut \xe2\x82"));
}

std::string elements(ByteView literal, char delimiter = ',') {
  ArrayReader array(literal, delimiter);
  if (!array.open()) return "refused";
  std::string out;
  std::vector<char> scratch;
  ByteView value;
  while (true) {
    switch (array.next(value, scratch)) {
      case ArrayReader::Step::kEnd: return out;
      case ArrayReader::Step::kRefused: return "refused";
      case ArrayReader::Step::kNull: out += "<null>"; break;
      case ArrayReader::Step::kValue: out += "<" + std::string(value) + ">"; break;
    }
  }
}

TEST(ValueText, ReadsArrayLiterals) {
  EXPECT_EQ(elements("{}"), "");
  EXPECT_EQ(elements("{1,NULL,\"NULL\"}"), "<1><null><NULL>");
  EXPECT_EQ(elements(R"({"a,b","c\"d","e\\f","{g}",""})"), R"(<a,b><c"d><e\f><{g}><>)");
  EXPECT_EQ(elements("{{1,2},{3,4}}"), "refused");
  EXPECT_EQ(elements("[0:1]={1,2}"), "refused");
  EXPECT_EQ(elements("{1,}"), "refused");
  EXPECT_EQ(elements("{\"a}"), "refused");
  EXPECT_EQ(elements("{(1,1),(0,0);NULL;(3,3),(2,2)}", ';'), "<(1,1),(0,0)><null><(3,3),(2,2)>");
}

}  // namespace
}  // namespace tailrace::formats
