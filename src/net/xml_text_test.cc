#include "net/xml_text.h"

#include <gtest/gtest.h>

namespace tailrace::net::test {
namespace {

TEST(XmlTextTest, ElementsAreFoundByTheirWholeName) {
  const std::string xml =
      "<?xml version=\"1.0\"?><List xmlns=\"u\"><KeyCount>2</KeyCount><Contents><Key>a&amp;b</Key></Contents>"
      "<Contents><Key>&#xe9;&#33;&lt;&apos;</Key></Contents><Prefix/></List>";
  EXPECT_EQ(text_of(xml, "KeyCount"), "2");
  EXPECT_EQ(text_of(xml, "Key"), "a&b") << "KeyCount is not Key";
  ASSERT_EQ(parts_of(xml, "Contents").size(), 2U);
  EXPECT_EQ(text_of(parts_of(xml, "Contents")[1], "Key"), "é!<'");
  EXPECT_EQ(text_of(xml, "Prefix"), "");
  EXPECT_EQ(text_of(xml, "None"), "");
}

TEST(XmlTextTest, WhatIsCutOffHasNoElements) {
  EXPECT_EQ(text_of("<Code>Slow", "Code"), "");
  EXPECT_TRUE(parts_of("<Contents><Key>a</Key>", "Contents").empty());
  EXPECT_EQ(text_of("<Co", "Code"), "");
}

TEST(XmlTextTest, TextIsEscaped) { EXPECT_EQ(xml_escaped("\"a\"&<b>"), "&quot;a&quot;&amp;&lt;b&gt;"); }

}  // namespace
}  // namespace tailrace::net::test
