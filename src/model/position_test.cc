#include "model/position.h"

#include <gtest/gtest.h>

namespace tailrace {
namespace {

TEST(Position, IsReadBackAsItWasWritten) {
  const Position position{3, Lsn(0x1A016B3748), 12};
  EXPECT_EQ(Position::parse(position.str()), position);
  for (const char* wrong : {"", "1", "1:0/1", "1:0:1", "x:0/1:2", "1:0/1:2x", "-1:0/1:2", "1:0/1:2:3"})
    EXPECT_EQ(Position::parse(wrong), std::nullopt) << wrong;
}

}  // namespace
}  // namespace tailrace
