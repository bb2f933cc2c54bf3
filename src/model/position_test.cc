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

TEST(Position, OrdersByEpochThenCommitThenOrdinal) {
  const Position places[] = {{1, Lsn(0xFFFFFFF), 0},  {1, Lsn(0x10000000), 3}, {1, Lsn(0x10000000), 4},
                             {1, Lsn(0x20000000), 0}, {2, Lsn(0x100), 9},      {2, Lsn(0x200), 0}};
  for (std::size_t n = 1; n < std::size(places); ++n) EXPECT_LT(places[n - 1], places[n]);
}

}  // namespace
}  // namespace tailrace
