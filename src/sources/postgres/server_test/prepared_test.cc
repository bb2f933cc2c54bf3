// Prepared transactions of a real server, on slots with and without two-phase decoding.

#include <gtest/gtest.h>

#include "pgoutput/messages.h"
#include "sources/postgres/server_test/private_cluster.h"
#include "sources/postgres/server_test/streaming.h"

namespace tailrace::postgres {
namespace {

using std::chrono::seconds;

class PreparedTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(PrivateCluster::instance().running()) << kNoServer;
    end_prepared();
    PrivateCluster::instance().create_database("prepared");
    sql = PrivateCluster::instance().connect("prepared");
    run("CREATE TABLE public.t (id int PRIMARY KEY, v text)");
  }
  /// A database with prepared transactions cannot be dropped.
  void TearDown() override { end_prepared(); }
  static void end_prepared() {
    const auto postgres = PrivateCluster::instance().connect("postgres");
    const Rows left = postgres->query("SELECT gid, database FROM pg_prepared_xacts", "cleaning up");
    for (std::size_t i = 0; i < left.size(); ++i)
      PrivateCluster::instance()
          .connect(std::string(left.at(i, 1)))
          ->query("ROLLBACK PREPARED " + postgres->quoted_text(left.at(i, 0)), "cleaning up");
  }

  Rows run(const std::string& statement) { return sql->query(statement, "testing"); }
  void prepare(const std::string& gid, const std::string& statement) {
    run("BEGIN; " + statement + "; PREPARE TRANSACTION " + sql->quoted_text(gid));
  }
  /// Servers from 15 on decode for us in two phases; older ones give whole transactions on every slot.
  bool has_two_phases() const { return sql->server_version() >= 150000; }
  /// A slot made by somebody else, with two-phase decoding where there is such a thing.
  SourceSpec adopted() {
    run("CREATE PUBLICATION tailrace_prepared FOR ALL TABLES");
    run(std::string("SELECT pg_create_logical_replication_slot('tailrace_prepared', 'pgoutput'") +
        (sql->server_version() >= 140000 ? ", false, true)" : ")"));
    SourceSpec spec = PrivateCluster::instance().spec("prepared");
    spec.adopt_slot = true;
    spec.create_publication = false;
    return spec;
  }
  Lsn confirmed() {
    return run("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'tailrace_prepared'").lsn(0, 0);
  }
  static std::vector<std::size_t> sizes_of(const Streaming& streaming) {
    std::vector<std::size_t> sizes;
    for (const auto& unit : streaming.log.units()) sizes.push_back(unit.changes.size());
    return sizes;
  }
  static void again(Streaming& streaming) {
    streaming.stop();
    streaming.renew();
    streaming.prepare();
    streaming.start();
  }

  std::unique_ptr<Connection> sql;
};

TEST_F(PreparedTest, a_slot_of_our_own_gives_a_prepared_transaction_whole_at_its_commit) {
  Streaming streaming(PrivateCluster::instance().spec("prepared"));
  streaming.prepare();
  streaming.start();
  prepare("it's one", "INSERT INTO public.t VALUES (1, 'a'), (2, 'b')");
  run("INSERT INTO public.t VALUES (3, 'between')");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 1; }));
  again(streaming);
  run("COMMIT PREPARED 'it''s one'");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 2; }));
  EXPECT_EQ(sizes_of(streaming), (std::vector<std::size_t>{1, 2}));
}

TEST_F(PreparedTest, an_adopted_slot_with_two_phases_gives_it_at_its_commit_over_restarts_of_both_sides) {
  Streaming streaming(adopted());
  streaming.prepare();
  streaming.start();
  prepare("one", "INSERT INTO public.t VALUES (1, 'a'), (2, 'b')");
  const Lsn after = run("SELECT pg_current_wal_insert_lsn()").lsn(0, 0);
  run("INSERT INTO public.t VALUES (3, 'between')");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 1; }));
  again(streaming);
  for (const char* mode : {"fast", "immediate"}) {
    const auto before = SteadyClock::now();
    PrivateCluster::instance().restart(mode);
    EXPECT_LT(SteadyClock::now() - before, seconds(20));
    sql = PrivateCluster::instance().connect("prepared");
    run("INSERT INTO public.t SELECT coalesce(max(id), 0) + 1, 'restarted' FROM public.t");
  }
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 3; }));
  EXPECT_TRUE(!has_two_phases() || confirmed() < after);
  run("COMMIT PREPARED 'one'");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 4; }));
  EXPECT_EQ(sizes_of(streaming), (std::vector<std::size_t>{1, 1, 1, 2}));
  EXPECT_TRUE(eventually([&] { return confirmed() > after; }));
  again(streaming);
  run("DELETE FROM public.t WHERE id = 1");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 5; }));
  EXPECT_EQ(streaming.failure, "");
}

TEST_F(PreparedTest, what_is_rolled_back_after_its_prepare_leaves_nothing) {
  Streaming streaming(adopted());
  streaming.prepare();
  streaming.start();
  prepare("one", "INSERT INTO public.t VALUES (1, 'a')");
  prepare("two", "INSERT INTO public.t SELECT g, repeat('x', 100) FROM generate_series(10, 3000) g");
  run("ROLLBACK PREPARED 'one'");
  again(streaming);
  run("ROLLBACK PREPARED 'two'");
  run("INSERT INTO public.t VALUES (3, 'after')");
  const Lsn after = run("SELECT pg_current_wal_insert_lsn()").lsn(0, 0);
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 1; }));
  EXPECT_TRUE(eventually([&] { return confirmed() >= after; }));
  EXPECT_EQ(streaming.source->status().open_spills, 0u);
}

TEST_F(PreparedTest, a_large_one_is_streamed_then_prepared_then_committed) {
  Streaming streaming(adopted());
  streaming.prepare();
  streaming.start();
  prepare("large",
          "INSERT INTO public.t SELECT g, repeat('a', 100) FROM generate_series(1, 3000) g; SAVEPOINT s; "
          "INSERT INTO public.t SELECT g, repeat('b', 100) FROM generate_series(3001, 6000) g; ROLLBACK TO s; "
          "INSERT INTO public.t SELECT g, repeat('c', 100) FROM generate_series(6001, 9000) g");
  run("INSERT INTO public.t VALUES (0, 'between')");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 1; }));
  run("COMMIT PREPARED 'large'");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 2; }));
  EXPECT_EQ(streaming.log.units()[1].changes.size(), 6000u);
}

TEST_F(PreparedTest, adopting_a_slot_waits_for_what_an_earlier_reader_was_sent) {
  const SourceSpec spec = adopted();
  prepare("old", "INSERT INTO public.t VALUES (1, 'sent to somebody else')");
  run("SELECT count(*) FROM pg_logical_slot_get_binary_changes('tailrace_prepared', NULL, NULL, 'proto_version', '" +
      std::string(has_two_phases() ? "3" : "1") + "', 'publication_names', 'tailrace_prepared')");
  Streaming streaming(spec);
  std::jthread preparing([&] { streaming.prepare(); });
  if (has_two_phases()) {
    ASSERT_TRUE(eventually([&] {
      const auto problems = streaming.source->status().problems;
      return problems.size() == 1 && problems[0].code == "TR127" && problems[0].what.find("'old'") != std::string::npos;
    }));
  }
  run("COMMIT PREPARED 'old'");
  preparing.join();
  streaming.start();
  run("INSERT INTO public.t VALUES (2, 'ours')");
  // Without two phases it comes whole.
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == (has_two_phases() ? 1u : 2u); }));
  EXPECT_EQ(streaming.failure, "");
}

TEST_F(PreparedTest, a_slot_that_cannot_be_adopted_is_refused) {
  SourceSpec spec = adopted();
  run("SELECT pg_drop_replication_slot('tailrace_prepared')");
  EXPECT_EQ(Streaming(spec).refusal(), "TR111");
  run("SELECT pg_create_physical_replication_slot('tailrace_prepared')");
  EXPECT_EQ(Streaming(spec).refusal(), "TR111");
}

}  // namespace
}  // namespace tailrace::postgres
