// Rows read by key from a real server, under a fence.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/unique_fd.h"
#include "sources/postgres/fence.h"
#include "sources/postgres/server_test/copy_fixture.h"

namespace tailrace::postgres {
namespace {

using std::chrono::milliseconds;

class KeyReadTest : public CopyFixture {};

TEST_F(KeyReadTest, keys_are_read_exactly_as_of_their_fence) {
  run("CREATE TABLE public.t (a int, b text, v text, PRIMARY KEY (b, a))");
  run("INSERT INTO public.t VALUES (1, 'x''y', 'one'), (2, 'z', NULL)");
  make_source(spec());
  const auto copy = source->begin_copy({}, {});
  const RelationPtr relation = table(*copy, "t").relation;
  const auto key = [](const std::string& b, const std::string& a) {
    std::string out;
    TupleWriter writer(out, 2);
    writer.text(b);
    writer.text(a);
    return out;
  };
  const FencedRows read = read_keys(*sql, relation, {key("x'y", "1"), key("gone", "7")});
  ASSERT_EQ(read.rows.count, 1u);
  EXPECT_EQ(text_of(read.rows.tuples, 2), "one");
  run("INSERT INTO public.t VALUES (3, 'later', 'x')");
  const Rows last = run("SELECT pg_current_xact_id()::xid, pg_current_wal_insert_lsn()");
  EXPECT_FALSE(read.fence.contains(Xid(static_cast<std::uint32_t>(last.number(0, 0))), last.lsn(0, 1)));
}

TEST_F(KeyReadTest, a_refused_key_is_not_repeated_in_the_error) {
  run("CREATE TYPE public.mood AS ENUM ('sad'); CREATE TABLE public.t (m public.mood PRIMARY KEY)");
  make_source(spec());
  const RelationPtr relation = table(*source->begin_copy({}, {}), "t").relation;
  std::string key;
  TupleWriter(key, 1).text("secret");
  try {
    source->read_keys(relation, {key}, {});
    FAIL() << "the key is none of the type";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what() + error.remedy()).find("secret"), std::string::npos) << error.what();
  }
}

TEST_F(KeyReadTest, keys_of_a_table_altered_since_are_not_read) {
  run("CREATE TABLE public.t (id int PRIMARY KEY, v varchar(10)); INSERT INTO public.t VALUES (1, 'one')");
  make_source(spec());
  const RelationPtr relation = table(*source->begin_copy({}, {}), "t").relation;
  std::string key;
  TupleWriter(key, 1).text("1");
  EXPECT_EQ(source->read_keys(relation, {key}, {}).rows.count, 1u);
  run("ALTER TABLE public.t ADD COLUMN later int");
  EXPECT_EQ(text_of(source->read_keys(relation, {key}, {}).rows.tuples, 1), "one");
  run("ALTER TABLE public.t ALTER COLUMN v TYPE varchar(20)");
  EXPECT_THROW(source->read_keys(relation, {key}, {}), RetryError);
  run("DROP TABLE public.t; CREATE TABLE public.t (id int PRIMARY KEY, v varchar(10))");
  EXPECT_THROW(source->read_keys(relation, {key}, {}), RetryError);
  run("BEGIN; LOCK TABLE public.t");
  EXPECT_THROW(source->read_keys(relation, {key}, {}), RetryError);
  run("COMMIT");
}

TEST_F(KeyReadTest, a_read_from_a_server_that_hangs_ends_at_a_stop_request) {
  run("CREATE TABLE public.t (id int PRIMARY KEY)");
  make_source(spec());
  const RelationPtr relation = table(*source->begin_copy({}, {}), "t").relation;
  std::string key;
  TupleWriter(key, 1).text("1");
  // A server that takes connections and never says a word.
  const UniqueFd mute(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(mute.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(mute.get(), 4), 0);
  ASSERT_EQ(getsockname(mute.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  SourceSpec silent = spec();
  silent.conninfo = "host=127.0.0.1 port=" + std::to_string(ntohs(address.sin_port)) + " dbname=copy user=postgres";
  PostgresSource elsewhere(silent, memory, log);
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(milliseconds(200));
    stop.request_stop();
  });
  const auto began = SteadyClock::now();
  EXPECT_THROW(elsewhere.read_keys(relation, {key}, stop.get_token()), RetryError);
  // One that answers, and then falls silent in the middle of a statement.
  std::stop_source later;
  std::jthread second([&] {
    std::this_thread::sleep_for(milliseconds(200));
    later.request_stop();
  });
  const auto other = PrivateCluster::instance().connect("copy");
  other->give_up_on(later.get_token());
  EXPECT_THROW(other->query("SELECT pg_sleep(60)", "testing"), RetryError);
  const auto bounded = PrivateCluster::instance().connect("copy");
  bounded->give_up_on({}, SteadyClock::now() + milliseconds(200));
  EXPECT_THROW(bounded->query("SELECT pg_sleep(60)", "testing"), RetryError);
  EXPECT_LT(SteadyClock::now() - began, std::chrono::seconds(5));
}

TEST_F(KeyReadTest, keys_of_a_partitioned_table_that_is_published_as_one_are_found_in_its_partitions) {
  run("CREATE TABLE public.p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); "
      "CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES FROM (0) TO (10); INSERT INTO public.p VALUES (3, 'x'); "
      "CREATE PUBLICATION tailrace_copy FOR TABLE public.p WITH (publish_via_partition_root = true)");
  make_source(spec());
  const RelationPtr relation = table(*source->begin_copy({}, {}), "p").relation;
  std::string key;
  TupleWriter(key, 1).text("3");
  EXPECT_EQ(text_of(source->read_keys(relation, {key}, {}).rows.tuples, 1), "x");
}

}  // namespace
}  // namespace tailrace::postgres
