#include "server/listen_address.h"

#include <gtest/gtest.h>

#include "base/error_code_for_test.h"

namespace tailrace::server {
namespace {

TEST(ListenAddressTest, IsHostAndPortOrAPortOfTheLoopbackAddress) {
  EXPECT_EQ(parse_listen_address("8083"), (ListenAddress{"127.0.0.1", 8083}));
  EXPECT_EQ(parse_listen_address("0.0.0.0:9"), (ListenAddress{"0.0.0.0", 9}));
  EXPECT_EQ(parse_listen_address("db.example:65535"), (ListenAddress{"db.example", 65535}));
  EXPECT_EQ(parse_listen_address("[::1]:0"), (ListenAddress{"::1", 0}));
  EXPECT_EQ(to_string({"::1", 8083}), "[::1]:8083");
  EXPECT_EQ(to_string({"127.0.0.1", 8083}), "127.0.0.1:8083");
}

TEST(ListenAddressTest, RefusesWhatIsNone) {
  for (const char* text : {"", "localhost", ":8083", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:80a", "::1:8083",
                           "[::1]", "[localhost]:80", "127.0.0.1:-1"}) {
    EXPECT_EQ(code_of([text] { parse_listen_address(text); }), "TR222") << text;
  }
}

TEST(ListenAddressTest, OnlyThisMachineIsLoopback) {
  for (const char* host : {"localhost", "127.0.0.1", "127.8.9.10", "::1"}) EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"", "0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.example.org", "localhost."}) {
    EXPECT_FALSE(is_loopback(host)) << host;
  }
}

}  // namespace
}  // namespace tailrace::server
