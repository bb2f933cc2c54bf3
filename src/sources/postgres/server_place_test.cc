#include "sources/postgres/server_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tailrace::postgres {
namespace {

using testing::ElementsAre;

ServerPlace place(const std::string& host, const std::string& port, const std::string& address = "",
                  const std::string& session = "") {
  return {host, address, port, session};
}

TEST(ServerPlaceTest, one_host_is_left_to_libpq) {
  for (const char* conninfo : {"", "host=db port=5433", "postgresql://db:5433/shop", "postgresql://user@/shop"})
    EXPECT_THAT(places_of(conninfo), ElementsAre(ServerPlace())) << conninfo;
}

TEST(ServerPlaceTest, a_list_of_hosts_is_tried_one_by_one) {
  EXPECT_THAT(places_of("host=a,b port=1,2"), ElementsAre(place("a", "1"), place("b", "2")));
  EXPECT_THAT(places_of("host=a,b port=5"), ElementsAre(place("a", "5"), place("b", "5")));
  EXPECT_THAT(places_of("postgresql://a:1,b:2/shop"), ElementsAre(place("a", "1"), place("b", "2")));
  EXPECT_THAT(places_of("host=a,b hostaddr=10.0.0.1,10.0.0.2 port=5"),
              ElementsAre(place("a", "5", "10.0.0.1"), place("b", "5", "10.0.0.2")));
}

TEST(ServerPlaceTest, every_host_is_asked_for_a_standby_before_any_is_taken) {
  EXPECT_THAT(places_of("host=a,b port=5 target_session_attrs=prefer-standby"),
              ElementsAre(place("a", "5", "", "standby"), place("b", "5", "", "standby"), place("a", "5", "", "any"),
                          place("b", "5", "", "any")));
}

TEST(ServerPlaceTest, lists_that_do_not_fit_together_are_left_to_libpq_which_refuses_them) {
  EXPECT_THAT(places_of("host=a,b,c port=1,2"), ElementsAre(ServerPlace()));
}

}  // namespace
}  // namespace tailrace::postgres
