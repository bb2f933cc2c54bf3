#include "sinks/duckdb/postgres_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "formats/value_text.h"

namespace tailrace::duckdb {
namespace {

using formats::IntervalValue;
using formats::parse_interval;
using formats::parse_timestamp;

template <typename T>
std::string floating(T value) {
  std::string text;
  append_float(value, text);
  return text;
}

TEST(PostgresTextTest, FloatsAreShortestAndTurnToExponentsWherePostgresqlDoes) {
  EXPECT_EQ(floating(1e15), "1e+15");
  EXPECT_EQ(floating(123456789012345.0), "123456789012345");
  EXPECT_EQ(floating(1e14), "100000000000000");
  EXPECT_EQ(floating(0.0001), "0.0001");
  EXPECT_EQ(floating(0.00001), "1e-05");
  EXPECT_EQ(floating(1.5e300), "1.5e+300");
  EXPECT_EQ(floating(5e-324), "5e-324");
  EXPECT_EQ(floating(0.1), "0.1");
  EXPECT_EQ(floating(-2.5), "-2.5");
  EXPECT_EQ(floating(9007199254740992.0), "9.007199254740992e+15");
  EXPECT_EQ(floating(100000.0F), "100000");
  EXPECT_EQ(floating(1e6F), "1e+06");
  EXPECT_EQ(floating(123456.7F), "123456.7");
  EXPECT_EQ(floating(1e-45F), "1e-45");
  EXPECT_EQ(floating(-0.0), "0");
  EXPECT_EQ(floating(std::nan("")), "NaN");
  EXPECT_EQ(floating(-std::numeric_limits<double>::infinity()), "-Infinity");
}

std::string interval(std::int32_t months, std::int32_t days, std::int64_t micros) {
  std::string text;
  append_interval({months, days, micros}, text);
  return text;
}

TEST(PostgresTextTest, IntervalsCarryTheirSigns) {
  EXPECT_EQ(interval(10, 3, -14706789000), "10 mons 3 days -04:05:06.789");
  EXPECT_EQ(interval(-12, 3, 0), "-1 years +3 days");
  EXPECT_EQ(interval(0, 0, 0), "00:00:00");
  EXPECT_EQ(interval(0, -3, 1000000), "-3 days +00:00:01");
  EXPECT_EQ(interval(1, 0, 0), "1 mon");
  EXPECT_EQ(interval(0, 0, -500000), "-00:00:00.5");
  EXPECT_EQ(interval(0, 2, 1), "2 days 00:00:00.000001");
  EXPECT_EQ(interval(0, 0, 1080000000000), "300:00:00");
}

TEST(PostgresTextTest, TimestampsAndIntervalsAreReadBackAsTheyWere) {
  std::mt19937_64 random(1);
  std::uniform_int_distribution<std::int64_t> moments(-210866803200000000, 9223371331200000000 - 1);
  std::uniform_int_distribution<std::int32_t> small(-5000, 5000);
  std::uniform_int_distribution<std::int64_t> micros(-100000000000, 100000000000);
  for (int n = 0; n < 20000; ++n) {
    const std::int64_t moment = moments(random);
    std::string text;
    append_timestamp(moment, n % 2 == 0, text);
    std::int64_t read = 0;
    ASSERT_TRUE(parse_timestamp(text, read)) << text;
    ASSERT_EQ(read, moment) << text;
    const duckdb_interval value{small(random), small(random), micros(random)};
    text.clear();
    append_interval(value, text);
    IntervalValue back;
    ASSERT_TRUE(parse_interval(text, back)) << text;
    ASSERT_EQ(back.months, value.months) << text;
    ASSERT_EQ(back.days, value.days) << text;
    ASSERT_EQ(back.micros, value.micros) << text;
  }
}

}  // namespace
}  // namespace tailrace::duckdb
