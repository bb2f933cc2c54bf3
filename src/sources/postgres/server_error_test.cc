#include "sources/postgres/server_error.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace tailrace::postgres {
namespace {

std::string code_of(const ServerError& error) {
  try {
    throw_server_error(error, "connecting");
  } catch (const Error& thrown) {
    return thrown.code();
  }
}

TEST(ServerErrorTest, a_missing_replication_right_is_named_whatever_the_version_calls_it) {
  EXPECT_EQ(code_of({"42501", "must be superuser or replication role to start walsender"}), "TR105");
  EXPECT_EQ(code_of({"42501", "permission denied to start WAL sender"}), "TR105");
  EXPECT_EQ(code_of({"42501", "permission denied for table orders"}), "TR106");
}

TEST(ServerErrorTest, a_slot_that_is_gone_is_told_from_other_things_that_are_missing) {
  EXPECT_EQ(code_of({"42704", "replication slot \"shop\" does not exist"}), "TR115");
  EXPECT_EQ(code_of({"42704", "publication \"shop\" does not exist"}), "TR119");
}

std::string text_of(const ServerError& error) {
  try {
    throw_server_error(error, "reading");
  } catch (const Error& thrown) {
    return std::string(thrown.what()) + thrown.remedy();
  }
}

TEST(ServerErrorTest, a_text_that_may_repeat_a_value_of_a_row_is_left_out) {
  for (const char* state : {"22P02", "22003", "22008", "22021", "22023", "23505", "42601", "P0001", "38000", "HV000",
                            "XX000", "01000", "00000"}) {
    const std::string text = text_of({state, "invalid input value for enum mood: \"secret\""});
    EXPECT_EQ(text.find("secret"), std::string::npos) << state;
    EXPECT_NE(text.find(state), std::string::npos) << state;
  }
}

TEST(ServerErrorTest, a_text_about_server_or_catalog_is_shown) {
  for (const char* state :
       {"", "08006", "28P01", "3D000", "40001", "42501", "42P01", "53300", "55006", "57P01", "58P01"})
    EXPECT_NE(text_of({state, "the slot is active"}).find("the slot is active"), std::string::npos) << state;
}

std::string code_of_connecting(const std::string& libpq_message) {
  try {
    throw_connection_error(libpq_message);
  } catch (const Error& thrown) {
    return thrown.code();
  }
}

TEST(ServerErrorTest, what_tls_refuses_is_told_from_what_the_network_breaks) {
  const std::string at = "connection to server at \"db\" (10.0.0.1), port 5432 failed: ";
  EXPECT_EQ(code_of_connecting(at + "SSL error: certificate verify failed\n"), "TR135");
  EXPECT_EQ(code_of_connecting(at + "SSL error: tlsv1 alert unknown ca\n"), "TR135");
  EXPECT_EQ(code_of_connecting(at + "SSL SYSCALL error: EOF detected\n"), "TR101");
  EXPECT_EQ(code_of_connecting(at + "Connection refused\n\tIs the server running on that host?\n"), "TR101");
  EXPECT_EQ(code_of_connecting(at + "FATAL:  28000: connection requires a valid client certificate\n"), "TR103");
}

TEST(ServerErrorTest, a_pooler_that_refuses_replication_is_named) {
  EXPECT_EQ(
      code_of_connecting("connection to server failed: FATAL:  08P01: unsupported startup parameter: replication\n"),
      "TR110");
}

}  // namespace
}  // namespace tailrace::postgres
