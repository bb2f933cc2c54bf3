#include "sinks/duckdb/handle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string error_of(Connection& connection, const std::string& sql) {
  try {
    connection.run(sql);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(DuckdbErrors, AValueIsRepeatedOnlyToWhoAsksForRows) {
  const test::Target target;
  Connection connection(Database::open(target.path(), {64ULL << 20, 1, false}));
  connection.run("CREATE TABLE t(v VARCHAR, u INTEGER UNIQUE)");
  connection.run("INSERT INTO t VALUES ('secret', 4711)");
  const std::string conversion = "SELECT v::INTEGER FROM t";
  const std::string constraint = "INSERT INTO t VALUES ('x', 4711)";
  EXPECT_THAT(error_of(connection, conversion), Not(HasSubstr("secret")));
  EXPECT_THAT(error_of(connection, conversion), HasSubstr("left out"));
  EXPECT_THAT(error_of(connection, constraint), Not(HasSubstr("4711")));
  EXPECT_THAT(error_of(connection, "SELECT * FROM nowhere"), HasSubstr("nowhere"));
  connection.show_values_in_errors();
  EXPECT_THAT(error_of(connection, conversion), HasSubstr("secret"));
}

}  // namespace
}  // namespace tailrace::duckdb
