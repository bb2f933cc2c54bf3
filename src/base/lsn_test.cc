#include "base/lsn.h"

#include <gtest/gtest.h>

namespace tailrace {
namespace {

TEST(Lsn, OrderIsNumericAcrossTheHalves) {
  EXPECT_LT(*Lsn::parse("F/FFFFFFFF"), *Lsn::parse("10/0"));
  EXPECT_LT(*Lsn::parse("9/0"), *Lsn::parse("A/0"));
}

TEST(Lsn, ReadsPaddedAndUnpaddedText) {
  EXPECT_EQ(*Lsn::parse("0/0151C220"), *Lsn::parse("0/151C220"));
  EXPECT_EQ(Lsn::parse("FFFFFFFF/FFFFFFFF")->value(), UINT64_MAX);
}

TEST(Lsn, RefusesWhatIsNotAnLsn) {
  for (const char* text : {"", "/", "0", "0/", "/0", "0/123456789", "0x1/2", "g/1", "1/2 ", "-1/2"})
    EXPECT_FALSE(Lsn::parse(text)) << text;
}

TEST(Lsn, PrintsAsPostgresDoes) { EXPECT_EQ(Lsn(0x16B374D848).str(), "16/B374D848"); }

}  // namespace
}  // namespace tailrace
