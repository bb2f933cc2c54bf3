#include "base/time.h"

#include <gtest/gtest.h>

namespace tailrace {
namespace {

TEST(PgTime, CountsFromTheYear2000) {
  EXPECT_EQ(PgTime(0).str(), "2000-01-01T00:00:00.000000Z");
  EXPECT_EQ(PgTime(-1).str(), "1999-12-31T23:59:59.999999Z");
  EXPECT_EQ(PgTime::from_unix_micros(0).unix_micros(), 0);
}

}  // namespace
}  // namespace tailrace
