#include "base/table_patterns.h"

#include <gtest/gtest.h>

namespace tailrace {
namespace {

bool matches(const std::vector<std::string>& patterns, std::string_view schema, std::string_view table) {
  return TablePatterns(patterns).match(schema, table);
}

TEST(TablePatterns, NoPatternMeansEveryTable) {
  EXPECT_TRUE(matches({}, "public", "t"));
  EXPECT_TRUE(matches({}, "other", "t"));
}

TEST(TablePatterns, TheLastPatternThatMatchesDecides) {
  const std::vector<std::string> patterns = {"public.*", "!public.audit_*", "public.audit_kept"};
  EXPECT_TRUE(matches(patterns, "public", "orders"));
  EXPECT_FALSE(matches(patterns, "public", "audit_log"));
  EXPECT_TRUE(matches(patterns, "public", "audit_kept"));
  EXPECT_FALSE(matches(patterns, "other", "orders"));
}

TEST(TablePatterns, ExclusionsAloneTakeAwayFromEverything) {
  EXPECT_TRUE(matches({"!public.secret"}, "public", "orders"));
  EXPECT_FALSE(matches({"!public.secret"}, "public", "secret"));
}

TEST(TablePatterns, ABareNameMeansSchemaPublic) {
  EXPECT_TRUE(matches({"orders"}, "public", "orders"));
  EXPECT_FALSE(matches({"orders"}, "other", "orders"));
  EXPECT_FALSE(matches({"!orders"}, "public", "orders"));
  EXPECT_TRUE(matches({"*"}, "public", "orders"));
  EXPECT_FALSE(matches({"*"}, "other", "orders"));
}

TEST(TablePatterns, WildcardsMatchAnyRunAndAnyOneCharacter) {
  EXPECT_TRUE(matches({"*.t?"}, "a", "t1"));
  EXPECT_FALSE(matches({"*.t?"}, "a", "t12"));
  EXPECT_FALSE(matches({"*.t?"}, "a", "t"));
  EXPECT_TRUE(matches({"*_x.*"}, "a_x_b_x", "t"));
  EXPECT_FALSE(matches({"a*b.*c"}, "ab", "cd"));
  EXPECT_TRUE(matches({"*.**a**"}, "s", "bab"));
  EXPECT_TRUE(matches({"s.a*"}, "s", "a*b"));
  EXPECT_FALSE(matches({"s."}, "s", "t"));
}

TEST(TablePatterns, ASchemaEndsAtTheFirstDot) {
  EXPECT_TRUE(matches({"public.a.b"}, "public", "a.b"));
  EXPECT_FALSE(matches({"public.*"}, "public.a", "b"));
  EXPECT_TRUE(matches({"public?a.b"}, "public.a", "b"));
}

TEST(TablePatterns, ManyStarsAreDecidedAtOnce) {
  std::string pattern = "public.";
  for (int n = 0; n < 200; ++n) pattern += "*a";
  EXPECT_FALSE(matches({pattern + "b"}, "public", std::string(10'000, 'a')));
  EXPECT_TRUE(matches({pattern}, "public", std::string(10'000, 'a')));
}

TEST(TablePatterns, KnowsWhatNamesOneTable) {
  EXPECT_TRUE(TablePatterns::names_one_table("public.orders"));
  EXPECT_TRUE(TablePatterns::names_one_table("what!"));
  for (const char* text : {"public.*", "t?", "!public.orders"})
    EXPECT_FALSE(TablePatterns::names_one_table(text)) << text;
}

}  // namespace
}  // namespace tailrace
