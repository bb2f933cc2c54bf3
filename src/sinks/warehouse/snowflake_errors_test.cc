#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "sinks/row_target.h"
#include "sinks/warehouse/snowflake_dialect.h"

namespace tailrace::warehouse {
namespace {

SnowflakeDialect dialect() {
  WarehouseSpec spec;
  spec.account = "ORG-ACC";
  spec.user = "cdc";
  spec.password = "secret";
  spec.database = "DB";
  spec.table = {"{table}", formats::Escaping::kNone};
  return SnowflakeDialect(spec);
}

enum class Kind { kRetry, kRefused, kRows };

struct Outcome {
  std::string code;
  Kind kind;
  std::string text;
};

Outcome outcome(const AdbcFailure& failure, About about) {
  try {
    dialect().fail(failure, about);
  } catch (const RetryError& error) {
    return {error.code(), Kind::kRetry, error.what()};
  } catch (const RefusedError& error) {
    return {error.code(), Kind::kRefused, error.what()};
  } catch (const sinks::RowsRefused& error) {
    return {error.code(), Kind::kRows, error.what()};
  }
}

struct Case {
  AdbcFailure failure;
  About about;
  std::string code;
  Kind kind;
  std::string says;
};

AdbcFailure numbered(int code, const std::string& sqlstate, const std::string& text) {
  return {.status = 9, .vendor_code = code, .sqlstate = sqlstate, .text = text};
}

AdbcFailure of_driver(const std::string& text) { return {.status = abi::kIo, .text = text}; }

TEST(SnowflakeErrors, EachOfTheUsualRefusalsSaysWhatIsWrong) {
  const std::vector<Case> cases = {
      {numbered(390100, "08004", "Incorrect username or password was specified."), About::kConnecting, "TR882",
       Kind::kRefused, "does not know the user with this password"},
      {numbered(390144, "08004", "JWT token is invalid."), About::kConnecting, "TR882", Kind::kRefused,
       "does not take the key"},
      {numbered(390189, "08004", "Role 'X' specified in the connect string does not exist"), About::kConnecting,
       "TR882", Kind::kRefused, "no such role"},
      {numbered(390422, "08004", "Incoming request with IP/Token 192.0.2.1 is not allowed to access Snowflake."),
       About::kConnecting, "TR882", Kind::kRefused, "network policy"},
      {numbered(390999, "08004", "Incoming request with IP 192.0.2.1 is not allowed to access Snowflake."),
       About::kConnecting, "TR882", Kind::kRefused, "network policy"},
      {numbered(390201, "08004", "The requested warehouse does not exist or not authorized."), About::kConnecting,
       "TR885", Kind::kRefused, "no such warehouse"},
      {numbered(606, "57P03", "No active warehouse selected in the current session."), About::kRows, "TR885",
       Kind::kRefused, "no warehouse for us"},
      {numbered(90073, "22000", "Warehouse 'WH' cannot be resumed because resource monitor has exceeded its quota."),
       About::kRows, "TR885", Kind::kRefused, "quota"},
      {numbered(3001, "42501", "SQL access control error: Insufficient privileges"), About::kStatement, "TR884",
       Kind::kRefused, "rights"},
      {numbered(2003, "42S02", "Object 'T' does not exist or not authorized."), About::kRows, "TR886", Kind::kRefused,
       "has not what a statement names"},
      {numbered(625, "57014", "Statement has locked table"), About::kRows, "TR881", Kind::kRetry,
       "another transaction"},
      {numbered(390112, "08001", "Session expired"), About::kStatement, "TR881", Kind::kRetry, "ended our session"},
      {of_driver("dial tcp 127.0.0.1:1: connect: connection refused"), About::kConnecting, "TR881", Kind::kRetry,
       "no answer"},
      {of_driver("failed to auth for unknown reason. HTTP: 404, URL: https://x.snowflakecomputing.com"),
       About::kConnecting, "TR883", Kind::kRefused, "no such account"},
      {of_driver("Post \"https://x\": dial tcp: lookup x.snowflakecomputing.com: no such host"), About::kConnecting,
       "TR883", Kind::kRefused, "no such account"},
      {of_driver("Post: x509: certificate signed by unknown authority"), About::kConnecting, "TR883", Kind::kRefused,
       "no trust"},
      {of_driver("Failed to parse PEM block containing the private key"), About::kConnecting, "TR882", Kind::kRefused,
       "the private key cannot be read"},
      {numbered(904, "42000", "SQL compilation error: invalid identifier 'X'"), About::kStatement, "TR887",
       Kind::kRefused, "invalid identifier 'X'"},
  };
  for (const Case& one : cases) {
    const Outcome made = outcome(one.failure, one.about);
    EXPECT_EQ(made.code, one.code) << one.failure.text;
    EXPECT_EQ(made.kind, one.kind) << one.failure.text;
    EXPECT_NE(made.text.find(one.says), std::string::npos) << made.text;
    EXPECT_NE(made.text.find("ORG-ACC"), std::string::npos) << made.text;
    EXPECT_EQ(made.text.find("secret"), std::string::npos) << made.text;
  }
}

TEST(SnowflakeErrors, RowsAreRefusedOnlyWhereRowsAreWritten) {
  const AdbcFailure failure = numbered(100038, "22018", "Numeric value 'abc' is not recognized");
  EXPECT_EQ(outcome(failure, About::kRows).kind, Kind::kRows);
  EXPECT_EQ(outcome(failure, About::kStatement).kind, Kind::kRefused);
}

TEST(SnowflakeErrors, NothingOfTheServersTextIsRepeatedWhereItMayHoldValues) {
  for (const int code : {100038, 100078, 904, 0, 260001})
    EXPECT_EQ(outcome(numbered(code, "22018", "value 'hunter2'"), About::kRows).text.find("hunter2"), std::string::npos)
        << code;
}

}  // namespace
}  // namespace tailrace::warehouse
