#include "sinks/warehouse/snowflake_dialect.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "model/batch_for_test.h"
#include "model/tuple_for_test.h"
#include "sinks/warehouse/state_text.h"
#include "sinks/warehouse/table_shape.h"
#include "sinks/warehouse/views.h"

namespace tailrace::warehouse {
namespace {

WarehouseSpec good_spec() {
  WarehouseSpec spec;
  spec.account = "ORG-ACC";
  spec.user = "cdc";
  spec.password = "secret";
  spec.database = "DB";
  spec.table = {"{table}", formats::Escaping::kNone};
  return spec;
}

std::string code_of(const WarehouseSpec& spec) {
  try {
    SnowflakeDialect made(spec);
    return "none";
  } catch (const BadConfigError& error) {
    return error.code();
  }
}

std::string option(const AdbcOptions& options, const std::string& key) {
  for (const auto& [name, value] : options)
    if (name == key) return value;
  return "none";
}

constexpr const char* kPem = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n";

TEST(SnowflakeDialect, WhatDoesNotFitTogetherIsRefused) {
  EXPECT_EQ(code_of(good_spec()), "none");
  WarehouseSpec spec = good_spec();
  spec.account = "https://org-acc.snowflakecomputing.com";
  EXPECT_EQ(code_of(spec), "TR889");
  spec = good_spec();
  spec.password.clear();
  EXPECT_EQ(code_of(spec), "TR889");
  spec.private_key = kPem;
  EXPECT_EQ(code_of(spec), "none");
  spec.private_key = "/path/to/key.p8";
  EXPECT_EQ(code_of(spec), "TR889");
  spec = good_spec();
  spec.private_key = kPem;
  EXPECT_EQ(code_of(spec), "TR889");
  spec = good_spec();
  spec.table = {"{table}_{key}", formats::Escaping::kNone};
  EXPECT_EQ(code_of(spec), "TR889");
  for (const char* endpoint : {"snow.example", "https://", "https://h:port", "https://h/path"}) {
    spec = good_spec();
    spec.endpoint = endpoint;
    EXPECT_EQ(code_of(spec), "TR889") << endpoint;
  }
}

TEST(SnowflakeDialect, AKeyOrAPasswordGoesToTheDriverAndNoOtherSecret) {
  WarehouseSpec spec = good_spec();
  AdbcOptions options = SnowflakeDialect(spec).options();
  EXPECT_EQ(option(options, "password"), "secret");
  EXPECT_EQ(option(options, "adbc.snowflake.sql.auth_type"), "none");
  spec.password.clear();
  spec.private_key = kPem;
  spec.private_key_passphrase = "open";
  spec.endpoint = "http://127.0.0.1:8080/";
  options = SnowflakeDialect(spec).options();
  EXPECT_EQ(option(options, "password"), "none");
  EXPECT_EQ(option(options, "adbc.snowflake.sql.auth_type"), "auth_jwt");
  EXPECT_EQ(option(options, "adbc.snowflake.sql.client_option.jwt_private_key_pkcs8_value"), kPem);
  EXPECT_EQ(option(options, "adbc.snowflake.sql.client_option.jwt_private_key_pkcs8_password"), "open");
  EXPECT_EQ(option(options, "adbc.snowflake.sql.uri.protocol"), "http");
  EXPECT_EQ(option(options, "adbc.snowflake.sql.uri.host"), "127.0.0.1");
  EXPECT_EQ(option(options, "adbc.snowflake.sql.uri.port"), "8080");
  const std::string display = SnowflakeDialect(spec).display();
  EXPECT_EQ(display.find("open"), std::string::npos) << display;
}

TEST(SnowflakeDialect, PlainNamesNeedNoQuotesThereAndOthersStayAsTheyAre) {
  const SnowflakeDialect there(good_spec());
  EXPECT_EQ(there.name_of("transactions"), "TRANSACTIONS");
  EXPECT_EQ(there.name_of("order_items2"), "ORDER_ITEMS2");
  EXPECT_EQ(there.name_of("Orders"), "Orders");
  EXPECT_EQ(there.name_of("2nd"), "2nd");
  EXPECT_EQ(there.name_of("a b"), "a b");
  EXPECT_EQ(there.qualified("a\"b"), "\"DB\".\"PUBLIC\".\"a\"\"b\"");
  EXPECT_EQ(literal("it's \\n"), "'it''s \\\\n'");
}

std::string sql_of(std::uint32_t oid, std::int32_t typmod = -1) {
  const RelationPtr table = tailrace::test::table("t", {{"id", 23, -1, 1}, {"v", oid, typmod}});
  return SnowflakeDialect(good_spec()).type_of(table->columns[1].type).sql;
}

TEST(SnowflakeDialect, TypesAreExactOrText) {
  constexpr auto numeric = [](int precision, int scale) { return (precision << 16 | scale) + 4; };
  EXPECT_EQ(sql_of(16), "BOOLEAN");
  EXPECT_EQ(sql_of(21), "NUMBER(5,0)");
  EXPECT_EQ(sql_of(23), "NUMBER(10,0)");
  EXPECT_EQ(sql_of(20), "NUMBER(19,0)");
  EXPECT_EQ(sql_of(26), "NUMBER(10,0)");
  EXPECT_EQ(sql_of(701), "FLOAT");
  EXPECT_EQ(sql_of(1700, numeric(10, 2)), "NUMBER(10,2)");
  EXPECT_EQ(sql_of(1700, numeric(38, 37)), "NUMBER(38,37)");
  EXPECT_EQ(sql_of(1700, numeric(38, 38)), "VARCHAR");
  EXPECT_EQ(sql_of(1700, numeric(39, 2)), "VARCHAR");
  EXPECT_EQ(sql_of(1700), "VARCHAR");
  EXPECT_EQ(sql_of(1114), "TIMESTAMP_NTZ(6)");
  EXPECT_EQ(sql_of(1184), "TIMESTAMP_TZ(6)");
  EXPECT_EQ(sql_of(1082), "DATE");
  EXPECT_EQ(sql_of(1083), "TIME(6)");
  EXPECT_EQ(sql_of(17), "BINARY");
  for (const std::uint32_t oid : {25U, 1043U, 2950U, 114U, 3802U, 1266U, 1186U})
    EXPECT_EQ(sql_of(oid), "VARCHAR") << oid;
}

const char* refusal(const RelationPtr& relation, const tailrace::test::Row& row) {
  const SnowflakeDialect there(good_spec());
  const TableShape shape(*relation, there, "T", "db");
  const std::string bytes = tuple_bytes(row);
  sinks::RowChange change;
  change.relation = relation.get();
  change.new_row = TupleView(bytes);
  return shape.refusal_of(change);
}

TEST(SnowflakeDialect, WhatItsTypesCannotHoldIsRefusedBeforehand) {
  const RelationPtr table = tailrace::test::table(
      "t", {{"id", 23, -1, 1}, {"n", 1700, (10 << 16 | 2) + 4}, {"at", 1114}, {"day", 1082}, {"time", 1083}, {"v"}});
  const std::string long_text((16U << 20) + 1, 'x');
  const char* at = "2024-01-01 00:00:00";
  EXPECT_EQ(refusal(table, {"1", "1.50", at, "2024-01-01", "01:02:03", "infinity"}), nullptr);
  EXPECT_NE(refusal(table, {"1", "NaN", at, "2024-01-01", "01:02:03", ""}), nullptr);
  EXPECT_NE(refusal(table, {"1", "1.50", "infinity", "2024-01-01", "01:02:03", ""}), nullptr);
  EXPECT_NE(refusal(table, {"1", "1.50", "10000-01-01 00:00:00", "2024-01-01", "01:02:03", ""}), nullptr);
  EXPECT_NE(refusal(table, {"1", "1.50", at, "0044-03-15 BC", "01:02:03", ""}), nullptr);
  EXPECT_NE(refusal(table, {"1", "1.50", at, "2024-01-01", "24:00:00", ""}), nullptr);
  EXPECT_NE(refusal(table, {"1", "1.50", at, "2024-01-01", "01:02:03", long_text}), nullptr);
}

TEST(SnowflakeDialect, ATableWhoseColumnsWouldHaveOneNameIsHeld) {
  const SnowflakeDialect there(good_spec());
  const auto obstacle = [&there](const RelationPtr& table) { return TableShape(*table, there, "T", "db").obstacle(); };
  EXPECT_EQ(obstacle(tailrace::test::table("t", {{"a", 23, -1, 1}, {"B"}})), "");
  EXPECT_NE(obstacle(tailrace::test::table("t", {{"a", 23, -1, 1}, {"A"}})), "");
  EXPECT_NE(obstacle(tailrace::test::table("t", {{"a", 23, -1, 1}, {"cdc_operation"}})), "");
  EXPECT_NE(obstacle(tailrace::test::table("t", {{"a", 23}})), "");
}

TEST(SnowflakeDialect, OneMergeDeletesUpdatesAndInserts) {
  const SnowflakeDialect there(good_spec());
  const RelationPtr table = tailrace::test::table("t", {{"id", 23, -1, 1}, {"v"}});
  EXPECT_EQ(there.merge(TableShape(*table, there, "T", "db").plan(), "ROWS_0"),
            "MERGE INTO \"DB\".\"PUBLIC\".\"T\" AS t USING \"ROWS_0\" AS s ON t.\"ID\" = s.\"C0\" "
            "WHEN MATCHED AND s.\"C2\" = 'DELETE' THEN DELETE "
            "WHEN MATCHED THEN UPDATE SET t.\"V\" = s.\"C1\", t.\"CDC_OPERATION\" = s.\"C2\", "
            "t.\"CDC_TIMESTAMP\" = s.\"C3\", t.\"SOURCE_DB\" = s.\"C4\" "
            "WHEN NOT MATCHED AND s.\"C2\" <> 'DELETE' THEN INSERT (\"ID\", \"V\", \"CDC_OPERATION\", "
            "\"CDC_TIMESTAMP\", \"SOURCE_DB\") VALUES (s.\"C0\", s.\"C1\", s.\"C2\", s.\"C3\", s.\"C4\")");
}

TEST(SnowflakeDialect, AColumnIsAddedSoThatItMayBeAddedAgain) {
  const SnowflakeDialect there(good_spec());
  const PlannedColumn column{.name = "EXTRA", .type = {.sql = "NUMBER(10,0)"}};
  EXPECT_EQ(there.add_column("T", column, std::nullopt),
            "ALTER TABLE \"DB\".\"PUBLIC\".\"T\" ADD COLUMN IF NOT EXISTS \"EXTRA\" NUMBER(10,0)");
  // Snowflake takes no DEFAULT beside IF NOT EXISTS, and says by a number of its own that the column is there.
  EXPECT_EQ(there.add_column("T", column, "5"),
            "ALTER TABLE \"DB\".\"PUBLIC\".\"T\" ADD COLUMN \"EXTRA\" NUMBER(10,0) DEFAULT 5");
  EXPECT_TRUE(there.has_column(AdbcFailure{.vendor_code = 1430}));
  EXPECT_FALSE(there.has_column(AdbcFailure{.vendor_code = 2003}));
}

TEST(SnowflakeDialect, AStageMayBeMadeAgain) {
  EXPECT_EQ(SnowflakeDialect(good_spec()).open_area("A_1").front(), "CREATE TEMPORARY STAGE IF NOT EXISTS \"A_1\"");
}

TEST(WarehouseViews, TablesInBracesBecomeWhatTheyAreCalledThere) {
  const ViewSpec view{"v", "SELECT '{}', {x} FROM {public.orders} JOIN {public.users} USING (id) -- {public.orders} {"};
  EXPECT_EQ(tables_of(view), (std::vector<NamedTable>{{"public", "orders"}, {"public", "users"}}));
  EXPECT_EQ(query_of(view, [](const NamedTable& table) { return "<" + table.name + ">"; }),
            "SELECT '{}', {x} FROM <orders> JOIN <users> USING (id) -- <orders> {");
}

TEST(WarehouseState, BytesComeBackAsTheyWereAndNothingElseIsTaken) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  EXPECT_EQ(from_hex(to_hex(bytes), "here"), bytes);
  for (const char* text : {"0", "0g", "zz", "001"}) EXPECT_THROW(from_hex(text, "here"), CorruptionError) << text;
}

}  // namespace
}  // namespace tailrace::warehouse
