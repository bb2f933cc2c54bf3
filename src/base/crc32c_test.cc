#include "base/crc32c.h"

#include <gtest/gtest.h>

namespace tailrace {
namespace {

// Known answers of RFC 3720, B.4.
TEST(Crc32c, GivesTheKnownAnswers) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
}

TEST(Crc32c, GoesOnFromAnEarlierResult) { EXPECT_EQ(crc32c("56789", crc32c("1234")), crc32c("123456789")); }

}  // namespace
}  // namespace tailrace
