// A copy on a server that has other work.

#include "sources/postgres/server_load.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "sources/postgres/channel.h"
#include "sources/postgres/server_test/copy_fixture.h"

namespace tailrace::postgres {
namespace {

using std::chrono::milliseconds;

double seconds_since(SteadyClock::time_point began) {
  return std::chrono::duration<double>(SteadyClock::now() - began).count();
}

class ServerLoadTest : public CopyFixture {
 protected:
  void SetUp() override {
    CopyFixture::SetUp();
    run("CREATE TABLE public.t (id int PRIMARY KEY); INSERT INTO public.t SELECT generate_series(1, 10)");
  }
  /// How long the copy of the small table takes.
  double copy_seconds() {
    const auto copy = source->begin_copy({}, {});
    const auto began = SteadyClock::now();
    EXPECT_EQ(rows_of(*copy, "t").size(), 10u);
    return seconds_since(began);
  }
  /// A session of an application, which is at work for so long.
  std::jthread work_for(double how_long) {
    return std::jthread([this, how_long] {
      SourceSpec other = spec();
      other.conninfo += " application_name=shop";
      try {
        Connection::open(other, ConnectionKind::kSql)
            ->query("SELECT pg_sleep(" + std::to_string(how_long) + ")", "working");
      } catch (const ReconnectError&) {
        // Ended from outside: it has worked long enough.
      }
    });
  }
  void wait_until_at_work(int sessions) {
    for (int i = 0; i < 500; ++i) {
      if (run("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop' AND state = 'active'")
              .number(0, 0) == sessions)
        return;
      std::this_thread::sleep_for(milliseconds(10));
    }
    FAIL() << "the sessions are not at work";
  }
};

TEST_F(ServerLoadTest, a_copy_waits_while_more_sessions_are_at_work_than_may_be) {
  SourceSpec bounded = spec();
  bounded.copy_max_active_sessions = 1;
  make_source(bounded);
  EXPECT_LT(copy_seconds(), 2) << "nobody is at work";
  const std::jthread one = work_for(3);
  wait_until_at_work(1);
  EXPECT_LT(copy_seconds(), 2) << "one may be";
  const auto began = SteadyClock::now();
  const std::jthread other = work_for(1.5);
  wait_until_at_work(2);
  copy_seconds();
  EXPECT_GE(seconds_since(began), 1.4);
}

TEST_F(ServerLoadTest, a_copy_goes_on_slowly_however_much_work_there_is) {
  SourceSpec bounded = spec();
  bounded.copy_max_active_sessions = 1;
  ServerLoad load(bounded);
  const std::jthread one = work_for(30);
  const std::jthread other = work_for(30);
  wait_until_at_work(2);
  sources::CopyProgress progress;
  std::jthread watcher([&progress](const std::stop_token& stop) {
    while (!stop.stop_requested() && !progress.waits_for_server) std::this_thread::sleep_for(milliseconds(5));
    EXPECT_TRUE(progress.waits_for_server) << "nobody was told that the copy waits";
  });
  const auto began = SteadyClock::now();
  load.wait(progress, {});
  EXPECT_GE(seconds_since(began), 4.9);
  EXPECT_LT(seconds_since(began), 20);
  EXPECT_FALSE(progress.waits_for_server);
  watcher.join();
  std::stop_source stop;
  stop.request_stop();
  load.wait(progress, stop.get_token());
  run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shop'");
}

TEST_F(ServerLoadTest, a_copy_waits_for_a_standby_that_is_behind) {
  SourceSpec bounded = spec();
  bounded.copy_max_replica_lag = 1 << 20;
  make_source(bounded);
  SourceSpec other = spec();
  other.conninfo += " application_name=standby";
  const auto standby = Connection::open(other, ConnectionKind::kReplication);
  const auto channel = open_channel(*standby);
  const std::string from = std::string(run("SELECT pg_current_wal_lsn()").at(0, 0));
  channel->write(query_message("START_REPLICATION PHYSICAL " + from));
  const auto reply = [&](std::uint64_t applied) {
    std::string message = "r";
    for (const std::uint64_t number : {applied, applied, applied, std::uint64_t{0}})
      for (int shift = 56; shift >= 0; shift -= 8) message += static_cast<char>(number >> shift & 0xff);
    message += '\0';
    std::string frame = "d";
    const auto length = static_cast<std::uint32_t>(message.size() + 4);
    for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(length >> shift & 0xff);
    channel->write(frame + message);
  };
  const auto lag = [&] {
    return run("SELECT COALESCE(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), -1)::bigint FROM "
               "pg_stat_replication WHERE application_name = 'standby'")
        .number(0, 0);
  };
  const Lsn start = *Lsn::parse(from);
  run("CREATE TABLE public.filler AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)");
  for (int i = 0; i < 500 && lag() < 2 << 20; ++i) {
    reply(start.value());
    std::this_thread::sleep_for(milliseconds(10));
  }
  ASSERT_GT(lag(), 2 << 20);
  std::jthread catching_up([&] {
    std::this_thread::sleep_for(milliseconds(1500));
    for (int i = 0; i < 20; ++i) reply(run("SELECT pg_current_wal_lsn()").lsn(0, 0).value());
  });
  EXPECT_GE(copy_seconds(), 1.0);
}

TEST_F(ServerLoadTest, a_role_that_cannot_see_the_load_is_told_what_it_lacks) {
  run("DROP ROLE IF EXISTS blind");
  run("CREATE ROLE blind LOGIN");
  SourceSpec bounded = spec();
  bounded.conninfo = PrivateCluster::instance().conninfo("copy", "blind");
  bounded.copy_max_active_sessions = 1;
  ServerLoad load(bounded);
  sources::CopyProgress progress;
  try {
    load.wait(progress, {});
    FAIL() << "nothing was said";
  } catch (const RefusedError& error) {
    EXPECT_EQ(error.code(), "TR140");
    EXPECT_EQ(std::string(error.remedy()), "GRANT pg_read_all_stats TO \"blind\"; -- or take the bound away");
  }
  run("GRANT pg_read_all_stats TO blind");
  load.wait(progress, {});
  run("DROP OWNED BY blind; DROP ROLE blind");
}

}  // namespace
}  // namespace tailrace::postgres
