#include "sinks/lake/connect_layout.h"

#include <gtest/gtest.h>

#include "base/error_code_for_test.h"
#include "model/batch_for_test.h"

namespace tailrace::lake::test {
namespace {

using sinks::RowChange;
using sinks::RowOperation;

// Sunday 2024-03-31, when clocks in Berlin went from 02:00 to 03:00 at 01:00 UTC; and back on 2024-10-27, from 03:00.
constexpr std::int64_t kSpring = 1711846800000;
constexpr std::int64_t kAutumn = 1729990800000;
constexpr std::int64_t kMinute = 60'000;
constexpr std::int64_t kHour = 60 * kMinute;

std::string printed(const std::string& pattern, std::int64_t utc, const std::string& zone = "Europe/Berlin") {
  return JodaPattern(pattern, "en-US").print(utc, Zone(zone));
}

RelationPtr orders() {
  return tailrace::test::table("orders", {{"id", 20, -1, 1}, {"state"}, {"paid", 16}, {"at", 1184}, {"price", 1700}});
}

struct Row {
  explicit Row(const RowForTest& values, RowOperation operation = RowOperation::kInsert)
      : relation(orders()), bytes(tuple_bytes(values)) {
    change.operation = operation;
    change.relation = relation.get();
    change.commit_time = PgTime::from_unix_micros(kSpring * 1000);
    (operation == RowOperation::kDelete ? change.old_row : change.new_row) = TupleView(bytes);
  }

  RelationPtr relation;
  std::string bytes;
  RowChange change;
};

std::string partition(const ConnectOptions& options, const Row& row, std::int64_t time = 0) {
  return ConnectLayout(options).partition_of(*row.relation, row.change, time);
}

TEST(JodaPatternTest, LettersStandForWhatJodaTimeSays) {
  const std::int64_t at = kAutumn + 12 * kHour + 5 * kMinute + 7'089;  // 14:05:07.089 in Berlin
  EXPECT_EQ(printed("'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", at), "year=2024/month=10/day=27/hour=14");
  EXPECT_EQ(printed("yy yyyy M MMM MMMM d D E EEEE e", at), "24 2024 10 Oct October 27 301 Sun Sunday 7");
  EXPECT_EQ(printed("xxxx-'W'ww-e", at), "2024-W43-7");
  EXPECT_EQ(printed("h hh a K H k kk m ss S SSS SSSSS", at), "2 02 PM 2 14 14 14 5 07 0 089 08900");
  EXPECT_EQ(printed("z Z ZZ ZZZ G C ''x''", at), "CET +0100 +01:00 Europe/Berlin AD 20 '2024'");
}

TEST(JodaPatternTest, ClocksAreThoseOfTheZoneOnThatDay) {
  EXPECT_EQ(printed("HH:mm Z", kSpring - 1), "01:59 +0100");
  EXPECT_EQ(printed("HH:mm Z", kSpring), "03:00 +0200");
  EXPECT_EQ(printed("HH:mm Z", kAutumn - kHour), "02:00 +0200");
  EXPECT_EQ(printed("HH:mm Z", kAutumn), "02:00 +0100");
  EXPECT_EQ(printed("HH:mm", kSpring, "Asia/Kolkata"), "06:30");
  EXPECT_EQ(Zone("Europe/Berlin").utc(Zone("Europe/Berlin").local(kSpring) - kHour), kSpring);
}

TEST(JodaPatternTest, WhatStandsForNothingIsRefused) {
  EXPECT_EQ(code_of([] { JodaPattern("YYYY-q", "en"); }), "TR864");
  EXPECT_EQ(code_of([] { JodaPattern("'open", "en"); }), "TR864");
  EXPECT_EQ(code_of([] { JodaPattern("MMM", "de-DE"); }), "TR864");
  EXPECT_EQ(code_of([] { Zone("Europe/Atlantis"); }), "TR864");
  EXPECT_EQ(code_of([] { JodaPattern("MM", "de-DE"); }), "none");
}

TEST(ConnectLayoutTest, NamesAreThoseOfKafkaConnect) {
  const ConnectLayout layout({.topic = "shop.{schema}.{table}"});
  const std::string topic = layout.topic_of(*orders());
  EXPECT_EQ(layout.path_of(topic, "partition=0", 42, file_form(Format::kJsonLines, Codec::kGzip)),
            "topics/shop.public.orders/partition=0/shop.public.orders+0+0000000042.json.gz");
  const auto ending = [&](Format format, Codec codec) {
    const std::string path = layout.path_of("t", "p", 1, file_form(format, codec));
    return path.substr(path.find('1') + 1);
  };
  EXPECT_EQ(ending(Format::kJsonLines, Codec::kNone), ".json");
  EXPECT_EQ(ending(Format::kAvro, Codec::kSnappy), ".avro");
  EXPECT_EQ(ending(Format::kParquet, Codec::kSnappy), ".snappy.parquet");
  EXPECT_EQ(ending(Format::kParquet, Codec::kGzip), ".gz.parquet");
  EXPECT_EQ(ending(Format::kParquet, Codec::kNone), ".parquet");
  const ConnectLayout other(
      {.topics_dir = "", .topic = "{table}", .offset_digits = 3, .directory_delim = "-", .file_delim = "_"});
  EXPECT_EQ(other.path_of("orders", "partition=0", 7, file_form(Format::kAvro, Codec::kNone)),
            "orders-partition=0-orders_0_007.avro");
  EXPECT_TRUE(other.is_object_of("orders", "orders-partition=0-orders_0_007.avro"));
  EXPECT_FALSE(other.is_object_of("order", "orders-partition=0-orders_0_007.avro"));
}

TEST(ConnectLayoutTest, RowsAreDividedByTheirFields) {
  const ConnectOptions options{.partitioner = Partitioner::kField, .fields = {"state", "paid", "id"}};
  EXPECT_EQ(partition(options, Row({"1", "new", "t", "", ""})), "state=new/paid=true/id=1");
  EXPECT_EQ(partition(options, Row({"1", {}, "f", "", ""})), "state=null/paid=false/id=1");
  EXPECT_EQ(partition(options, Row({"1", "../a%", "f", "", ""})), "state=%2E.%2Fa%25/paid=false/id=1");
  EXPECT_EQ(partition(options, Row({"1", {}, {}, {}, {}}, RowOperation::kDelete)), "state=null/paid=null/id=1");
  EXPECT_EQ(ConnectLayout(options).obstacle(*orders()), "");
  EXPECT_NE(ConnectLayout({.partitioner = Partitioner::kField, .fields = {"price"}}).obstacle(*orders()), "");
  EXPECT_NE(ConnectLayout({.partitioner = Partitioner::kField, .fields = {"none"}}).obstacle(*orders()), "");
}

TEST(ConnectLayoutTest, ARowWhoseFoldersCannotBeNamedIsRefused) {
  const auto is_refused = [](const ConnectOptions& options, const Row& row) {
    return ConnectLayout(options).refusal_of(*row.relation, row.change) != nullptr;
  };
  const ConnectOptions by_state{.partitioner = Partitioner::kField, .fields = {"state"}};
  EXPECT_FALSE(is_refused(by_state, Row({"1", std::string(194, 'x'), "t", "", ""})));
  EXPECT_TRUE(is_refused(by_state, Row({"1", std::string(195, 'x'), "t", "", ""})));
  EXPECT_TRUE(is_refused(by_state, Row({"1", std::string(70, '/'), "t", "", ""})));
  const ConnectOptions by_time{.partitioner = Partitioner::kDaily, .time_from = TimeFrom::kField, .time_field = "at"};
  const ConnectOptions by_number{.partitioner = Partitioner::kDaily, .time_from = TimeFrom::kField, .time_field = "id"};
  EXPECT_FALSE(is_refused(by_time, Row({"1", {}, {}, "9999-12-31 23:59:59.999999+00", {}})));
  EXPECT_TRUE(is_refused(by_time, Row({"1", {}, {}, "200000-01-01 00:00:00+00", {}})));
  EXPECT_TRUE(is_refused(by_time, Row({"1", {}, {}, "infinity", {}})));
  EXPECT_TRUE(is_refused(by_time, Row({"1", {}, {}, {}, {}})));
  EXPECT_FALSE(is_refused(by_number, Row({"1711846800000", {}, {}, {}, {}})));
  EXPECT_TRUE(is_refused(by_number, Row({"-9223372036854775808", {}, {}, {}, {}})));
}

TEST(ConnectLayoutTest, RowsAreDividedByTheClocksOfTheirZone) {
  const Row row({"1", {}, {}, {}, {}});
  ConnectOptions options{.partitioner = Partitioner::kDaily, .timezone = "America/New_York"};
  EXPECT_EQ(partition(options, row, kSpring), "year=2024/month=03/day=30");
  options.partitioner = Partitioner::kHourly;
  options.timezone = "Europe/Berlin";
  EXPECT_EQ(partition(options, row, kSpring + 59 * kMinute), "year=2024/month=03/day=31/hour=03");
  options.partitioner = Partitioner::kTime;
  options.duration = 15 * kMinute;
  options.path_format = "HH-mm/";
  EXPECT_EQ(partition(options, row, kSpring - 1), "01-45");
  options.duration = 2 * kHour;
  EXPECT_EQ(partition(options, row, kSpring + 30 * kMinute), "03-00");  // 02:00 was skipped
}

TEST(ConnectLayoutTest, TheTimeOfARowIsItsCommitsOrItsFields) {
  const auto time = [](const ConnectOptions& options, const Row& row) {
    return ConnectLayout(options).time_of(*row.relation, row.change);
  };
  const Row row({"1711846800001", "2024-03-31T01:00:00.5Z", {}, "2024-03-31 03:00:00+02", {}});
  EXPECT_EQ(time({}, row), kSpring);
  EXPECT_EQ(time({.time_from = TimeFrom::kField, .time_field = "at"}, row), kSpring);
  EXPECT_EQ(time({.time_from = TimeFrom::kField, .time_field = "id"}, row), kSpring + 1);
  EXPECT_EQ(time({.time_from = TimeFrom::kField, .time_field = "state"}, row), kSpring + 500);
  EXPECT_FALSE(time({.time_from = TimeFrom::kField, .time_field = "at"}, Row({"1", {}, {}, {}, {}})));
  EXPECT_FALSE(time({.time_from = TimeFrom::kField, .time_field = "at"}, Row({"1", {}, {}, "infinity", {}})));
  EXPECT_FALSE(time({.time_from = TimeFrom::kField, .time_field = "state"}, Row({"1", "soon", {}, {}, {}})));
  EXPECT_EQ(
      time({.time_from = TimeFrom::kField, .time_field = "at"}, Row({"1", {}, {}, {}, {}}, RowOperation::kDelete)),
      kSpring);
  EXPECT_NE(ConnectLayout({.time_from = TimeFrom::kField, .time_field = "paid"}).obstacle(*orders()), "");
}

TEST(ConnectLayoutTest, TheClockClosesFilesAtMultiplesSinceMidnight) {
  const ConnectLayout layout({.timezone = "Europe/Berlin", .rotate_schedule = 7 * kHour});
  const std::int64_t midnight = kAutumn - 3 * kHour;  // 00:00 in Berlin, of a day of 25 hours
  EXPECT_EQ(layout.next_schedule(midnight), midnight + 8 * kHour);
  EXPECT_EQ(layout.next_schedule(midnight + 8 * kHour), midnight + 15 * kHour);
  EXPECT_EQ(layout.next_schedule(midnight + 23 * kHour), midnight + 25 * kHour);
}

TEST(ConnectLayoutTest, WhatDoesNotFitTogetherIsRefused) {
  const auto refused = [](ConnectOptions options) {
    return code_of([&] { const ConnectLayout made(std::move(options)); });
  };
  EXPECT_EQ(refused({}), "none");
  EXPECT_EQ(refused({.topic = "all"}), "TR857");
  EXPECT_EQ(refused({.partitioner = Partitioner::kField}), "TR857");
  EXPECT_EQ(refused({.partitioner = Partitioner::kTime, .path_format = "YYYY"}), "TR857");
  EXPECT_EQ(refused({.topics_dir = "../up"}), "TR857");
  EXPECT_EQ(refused({.topics_dir = "_state"}), "TR857");
  EXPECT_EQ(refused({.timezone = "Nowhere"}), "TR864");
}

}  // namespace
}  // namespace tailrace::lake::test
