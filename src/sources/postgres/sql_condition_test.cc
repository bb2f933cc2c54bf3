#include "sources/postgres/sql_condition.h"

#include <gtest/gtest.h>

namespace tailrace::postgres {
namespace {

TEST(SqlCondition, conditions_that_keep_to_themselves_are_taken) {
  for (const char* text :
       {"id = 1", "a = ')' AND b = ';'", "\"odd); name\" > 0", "v = E'it\\'s (' OR v = 'it''s ('",
        "v = $$a;)$$ OR v = $t$ $$ ; $t$", "id = 1 -- the first )", "/* ; ( /* ) */ */ true", "(a OR (b AND c))",
        "a$b = 1", "v = 'E'", "cast(a AS text) = '\\'", "price$ > 1 AND dollars$ < 2"})
    EXPECT_EQ(flaw_of_condition(text), "") << text;
}

TEST(SqlCondition, what_would_leave_its_place_in_the_statement_is_told) {
  EXPECT_EQ(flaw_of_condition(""), "it is empty");
  EXPECT_EQ(flaw_of_condition(" -- nothing"), "it is empty");
  EXPECT_EQ(flaw_of_condition("true) TO STDOUT; DROP TABLE t; --"), "it closes a parenthesis that it did not open");
  EXPECT_EQ(flaw_of_condition("true; DROP TABLE t"), "it holds a semicolon");
  EXPECT_EQ(flaw_of_condition("(true"), "it opens a parenthesis that it does not close");
  EXPECT_EQ(flaw_of_condition("true) OR (true"), "it closes a parenthesis that it did not open");
  EXPECT_EQ(flaw_of_condition(std::string_view("a = 1\0b", 7)), "it holds a zero byte");
  for (const char* text : {"v = 'open", "\"open", "v = $$open", "true /* open", "v = E'\\'", "true /* /* */"})
    EXPECT_EQ(flaw_of_condition(text), "a quoted text or a comment in it does not end") << text;
}

// With a quote that the one side sees and the other does not, the rest would be read otherwise.
TEST(SqlCondition, an_escape_string_begins_only_behind_an_e_of_its_own) {
  EXPECT_EQ(flaw_of_condition("date'\\'"), "");
  EXPECT_EQ(flaw_of_condition("E'\\' ; '"), "");
  EXPECT_EQ(flaw_of_condition("e'\\\\') OR ('a'"), "it closes a parenthesis that it did not open");
}

}  // namespace
}  // namespace tailrace::postgres
