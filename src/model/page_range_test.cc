#include "model/page_range.h"

#include <gtest/gtest.h>

namespace tailrace {
namespace {

using Ranges = std::vector<PageRange>;

TEST(PageRange, WhatIsMissingLiesBeforeBetweenAndBehind) {
  EXPECT_EQ(pages_besides({}, 10), (Ranges{{0, 10}}));
  EXPECT_EQ(pages_besides({{4, 6}, {0, 2}}, 10), (Ranges{{2, 4}, {6, 10}}));
  EXPECT_EQ(pages_besides({{2, 5}, {4, 6}}, 10), (Ranges{{0, 2}, {6, 10}}));
  EXPECT_EQ(pages_besides({{0, 10}}, 10), (Ranges{{10, 10}}));
  // Cut off by a vacuum since.
  EXPECT_EQ(pages_besides({{0, 10}}, 4), (Ranges{{10, 10}}));
}

}  // namespace
}  // namespace tailrace
