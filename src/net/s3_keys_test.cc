#include "net/s3_keys.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace tailrace::net::test {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::system_clock;

/// Lends "k1", "k2", … for `life`, by a clock that the test sets.
struct Lender {
  system_clock::time_point now;
  system_clock::duration life = minutes(60);
  int lent = 0;
  bool is_away = false;
  S3Keys keys{[this] {
                if (is_away) throw RetryError("TR910", "away", "wait");
                return LentKeys{{"k" + std::to_string(++lent), "s", "t"}, now + life};
              },
              [this] { return now; }};

  std::string key() { return keys.current().access_key; }
};

TEST(S3KeysTest, OthersAreFetchedBeforeTheEnd) {
  Lender lender;
  EXPECT_EQ(lender.key(), "k1");
  lender.now += minutes(54);
  EXPECT_EQ(lender.key(), "k1");
  lender.now += minutes(1);
  EXPECT_EQ(lender.key(), "k2");
  lender.life = seconds(40);
  lender.now += minutes(55);
  EXPECT_EQ(lender.key(), "k3");
  lender.now += seconds(29);
  EXPECT_EQ(lender.key(), "k3");
  lender.now += seconds(1);
  EXPECT_EQ(lender.key(), "k4");
}

TEST(S3KeysTest, ALenderThatIsAwayIsNotMissedWhileTheKeysHold) {
  Lender lender;
  EXPECT_EQ(lender.key(), "k1");
  lender.is_away = true;
  lender.now += minutes(56);
  EXPECT_EQ(lender.key(), "k1");
  lender.is_away = false;
  lender.now += seconds(5);
  EXPECT_EQ(lender.key(), "k1");
  lender.now += seconds(5);
  EXPECT_EQ(lender.key(), "k2");
  lender.is_away = true;
  lender.now += minutes(61);
  EXPECT_THROW(lender.key(), RetryError);
}

TEST(S3KeysTest, WhatAServerNoLongerTakesIsFetchedAnewOnce) {
  Lender lender;
  const S3Credentials first = lender.keys.current();
  EXPECT_TRUE(lender.keys.renew(first));
  EXPECT_TRUE(lender.keys.renew(first));
  EXPECT_EQ(lender.lent, 2);
  S3Keys fixed(S3Credentials{"a", "b", ""});
  EXPECT_FALSE(fixed.renew(fixed.current()));
}

TEST(S3KeysTest, TimesAreReadAsServicesWriteThem) {
  const auto at = [](std::string_view text) {
    const auto time = read_time(text);
    return time ? std::chrono::duration_cast<seconds>(time->time_since_epoch()).count() : -1;
  };
  EXPECT_EQ(at("2013-05-24T00:00:01Z"), 1369353601);
  EXPECT_EQ(at("2013-05-24T00:00:01.250Z"), 1369353601);
  for (const char* wrong : {"", "2013-05-24", "2013-13-24T00:00:00Z", "2013-05-24T00:00:0Z", "2013-05-24T24:00:00Z",
                            "2013-05-24T00:00:00+00:00", "x013-05-24T00:00:00Z"})
    EXPECT_EQ(at(wrong), -1) << wrong;
}

}  // namespace
}  // namespace tailrace::net::test
