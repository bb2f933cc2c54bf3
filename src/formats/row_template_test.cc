#include "formats/row_template.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error_code_for_test.h"
#include "model/batch_for_test.h"

namespace tailrace::formats {
namespace {

using tailrace::test::items;
using tailrace::test::Row;
using tailrace::test::table;

std::string filled(const std::string& text, const RelationPtr& relation, const Row& row,
                   Escaping escaping = Escaping::kParts) {
  std::string out;
  const std::string bytes = tuple_bytes(row);
  return RowTemplate(text, escaping).bind(*relation).append(TupleView(bytes), out) ? out : "nothing";
}

TEST(RowTemplateTest, NamesAndValuesTakeTheirPlaces) {
  EXPECT_EQ(filled("{schema}.{table}:{key}", items(), {"7", "a", "b"}), "public.items:7");
  EXPECT_EQ(filled("x{{{v}}}", items(), {"7", "a", "b"}), "x{a}");
}

TEST(RowTemplateTest, DifferentRowsNeverGiveEqualTexts) {
  const RelationPtr pairs = table("pairs", {{"a", 25, -1, 1}, {"b", 25, -1, 2}});
  EXPECT_EQ(filled("{key}", pairs, {"x:y", "z"}), "x%3Ay:z");
  EXPECT_EQ(filled("{key}", pairs, {"x", "y:z"}), "x:y%3Az");
  EXPECT_EQ(filled("{key}", pairs, {"x%3Ay", "z"}), "x%253Ay:z");
  EXPECT_EQ(filled("{key}", items(), {"a:b", "", ""}), "a:b") << "alone it is itself";
}

TEST(RowTemplateTest, InAUrlEveryPartIsEscaped) {
  EXPECT_EQ(filled("/r/{v}", items(), {"7", "a/../b?c=d&é", "x"}, Escaping::kUrl), "/r/a%2F..%2Fb%3Fc%3Dd%26%C3%A9");
}

TEST(RowTemplateTest, AValueThatIsNotThereGivesNoText) {
  EXPECT_EQ(filled("{v}", items(), {"7", std::nullopt, "b"}), "nothing");
  EXPECT_EQ(filled("{big}", items(), {"7", "a", kUnchanged}), "nothing");
}

TEST(RowTemplateTest, MalformedTextsAreNamed) {
  for (const char* text : {"{", "a}", "{}", "{key"})
    EXPECT_EQ(code_of([&] { RowTemplate(text, Escaping::kNone); }), "TR821") << text;
  EXPECT_EQ(code_of([] { RowTemplate("{nowhere}", Escaping::kNone).bind(*items()); }), "TR822");
}

TEST(RowTemplateTest, APatternHasAWildcardForEveryValue) {
  const auto literal = [](std::string_view text) { return "<" + std::string(text) + ">"; };
  EXPECT_EQ(RowTemplate("{table}:{key}!", Escaping::kParts).bind(*items()).pattern("*", literal), "<items><:>*<!>");
}

}  // namespace
}  // namespace tailrace::formats
