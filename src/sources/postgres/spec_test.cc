#include "sources/postgres/spec.h"

#include <gtest/gtest.h>

namespace tailrace::postgres {
namespace {

TEST(TablePatternsTest, no_pattern_means_every_table) {
  EXPECT_TRUE(table_matches({}, "public", "t"));
  EXPECT_TRUE(table_matches({}, "other", "t"));
}

TEST(TablePatternsTest, the_last_pattern_that_matches_decides) {
  const std::vector<std::string> patterns = {"public.*", "!public.audit_*", "public.audit_kept"};
  EXPECT_TRUE(table_matches(patterns, "public", "orders"));
  EXPECT_FALSE(table_matches(patterns, "public", "audit_log"));
  EXPECT_TRUE(table_matches(patterns, "public", "audit_kept"));
  EXPECT_FALSE(table_matches(patterns, "other", "orders"));
}

TEST(TablePatternsTest, exclusions_alone_take_away_from_everything) {
  EXPECT_TRUE(table_matches({"!public.secret"}, "public", "orders"));
  EXPECT_FALSE(table_matches({"!public.secret"}, "public", "secret"));
}

TEST(TablePatternsTest, a_bare_name_means_schema_public) {
  EXPECT_TRUE(table_matches({"orders"}, "public", "orders"));
  EXPECT_FALSE(table_matches({"orders"}, "other", "orders"));
  EXPECT_FALSE(table_matches({"!orders"}, "public", "orders"));
}

TEST(TablePatternsTest, wildcards_match_any_run_and_any_one_character) {
  EXPECT_TRUE(table_matches({"*.t?"}, "a", "t1"));
  EXPECT_FALSE(table_matches({"*.t?"}, "a", "t12"));
  EXPECT_TRUE(table_matches({"*_x.*"}, "a_x_b_x", "t"));
  EXPECT_FALSE(table_matches({"a*b.*c"}, "ab", "cd"));
}

}  // namespace
}  // namespace tailrace::postgres
