#include "sinks/duckdb/spec.h"

#include <gtest/gtest.h>

namespace tailrace::duckdb {
namespace {

DuckdbSpec with_history(std::vector<std::string> patterns) {
  DuckdbSpec spec;
  spec.history = std::move(patterns);
  return spec;
}

TEST(DuckdbSpec, HistoryIsKeptOfTheTablesThatThePatternsMean) {
  EXPECT_FALSE(keeps_history(with_history({}), "public", "orders"));
  EXPECT_TRUE(keeps_history(with_history({"*.*"}), "other", "orders"));
  EXPECT_TRUE(keeps_history(with_history({"public.*", "!public.audit_*"}), "public", "orders"));
  EXPECT_FALSE(keeps_history(with_history({"public.*", "!public.audit_*"}), "public", "audit_log"));
  EXPECT_TRUE(keeps_history(with_history({"!public.audit_*"}), "public", "orders"));
}

}  // namespace
}  // namespace tailrace::duckdb
