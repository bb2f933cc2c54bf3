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

}  // namespace
}  // namespace tailrace::postgres
