// Streaming from a real server into a log in memory.

#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "pgoutput/messages.h"
#include "sources/postgres/server_test/private_cluster.h"
#include "sources/postgres/server_test/streaming.h"

namespace tailrace::postgres {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string text_of(const TupleView& tuple, std::size_t column) {
  auto it = tuple.begin();
  for (std::size_t i = 0; i < column; ++i) it.next();
  return std::string(it.next().bytes);
}

class StreamTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(PrivateCluster::instance().running()) << kNoServer;
    PrivateCluster::instance().create_database("stream");
    sql = PrivateCluster::instance().connect("stream");
    run("CREATE TABLE public.t (id int PRIMARY KEY, v text)");
  }
  Rows run(const std::string& statement) { return sql->query(statement, "testing"); }
  SourceSpec spec() const { return PrivateCluster::instance().spec("stream"); }

  std::unique_ptr<Connection> sql;
};

TEST_F(StreamTest, the_highest_protocol_of_the_server_is_spoken) {
  Streaming streaming(spec());
  streaming.prepare();
  streaming.start();
  ASSERT_TRUE(eventually([&] { return streaming.source->status().state == SourceState::kStreaming; }));
  // The server refuses a version that it does not know.
  const int major = sql->server_version() / 10000;
  const int expected = major >= 16 ? 4 : major == 15 ? 3 : major == 14 ? 2 : 1;
  const SourceFacts facts = *streaming.memory.load();
  EXPECT_EQ(facts.protocol, expected);
  EXPECT_EQ(facts.streaming, expected >= 2);
}

TEST_F(StreamTest, committed_transactions_arrive_whole_and_in_commit_order) {
  Streaming streaming(spec());
  streaming.prepare();
  EXPECT_TRUE(streaming.log.durable_end().valid());
  run("INSERT INTO public.t VALUES (1, 'one'), (2, 'two')");
  streaming.start();
  run("UPDATE public.t SET v = 'three' WHERE id = 2");
  run("DELETE FROM public.t WHERE id = 1");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 3; }));
  const auto units = streaming.log.units();
  ASSERT_EQ(units[0].changes.size(), 2u);
  EXPECT_EQ(units[0].changes[0].relation->name, "t");
  EXPECT_EQ(units[0].changes[0].relation->columns[0].attnum, 1);
  EXPECT_EQ(units[0].changes[0].relation->match_key(), std::vector<std::size_t>{0});
  EXPECT_EQ(text_of(pgoutput::parse_row_change(units[0].changes[1].message).new_row, 1), "two");
  EXPECT_EQ(pgoutput::parse_row_change(units[2].changes[0].message).kind, ChangeKind::kDelete);
  EXPECT_LT(units[0].record.end_lsn, units[1].record.end_lsn);
}

TEST_F(StreamTest, what_is_durable_is_acknowledged_and_not_sent_again_after_a_restart) {
  Streaming streaming(spec());
  streaming.prepare();
  streaming.start();
  run("INSERT INTO public.t VALUES (1, 'one')");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 1; }));
  streaming.stop();
  EXPECT_EQ(streaming.source->status().state, SourceState::kStopped);
  const Rows slot = run("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'tailrace_stream'");
  EXPECT_EQ(slot.lsn(0, 0), streaming.log.durable_end());
  run("INSERT INTO public.t VALUES (2, 'two')");
  streaming.renew();
  streaming.prepare();
  streaming.start();
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 2; }));
  EXPECT_EQ(streaming.failure, "");
}

TEST_F(StreamTest, a_cut_connection_is_made_again_and_nothing_is_lost_or_doubled) {
  Streaming streaming(spec());
  streaming.prepare();
  streaming.start();
  ASSERT_TRUE(eventually([&] { return streaming.source->status().state == SourceState::kStreaming; }));
  for (int i = 0; i < 30; ++i) {
    run("INSERT INTO public.t VALUES (" + std::to_string(i) + ", 'x')");
    if (i % 10 == 5) run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active");
  }
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 30; }));
  EXPECT_TRUE(eventually([&] { return streaming.source->status().reconnects >= 1; }));
}

TEST_F(StreamTest, a_large_transaction_is_streamed_and_its_aborted_parts_are_left_out) {
  Streaming streaming(spec());
  streaming.prepare();
  streaming.start();
  run("BEGIN; INSERT INTO public.t SELECT g, repeat('a', 100) FROM generate_series(1, 3000) g; SAVEPOINT s; "
      "INSERT INTO public.t SELECT g, repeat('b', 100) FROM generate_series(3001, 6000) g; ROLLBACK TO s; "
      "INSERT INTO public.t SELECT g, repeat('c', 100) FROM generate_series(6001, 9000) g; COMMIT");
  run("INSERT INTO public.t VALUES (0, 'after')");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 2; }));
  const auto units = streaming.log.units();
  // With protocol 1, all that version 13 speaks, it comes at its commit.
  EXPECT_EQ(units[0].streamed, run("SELECT current_setting('server_version_num')").number(0, 0) >= 140000);
  EXPECT_EQ(units[0].changes.size(), 6000u);
  EXPECT_NE(units[1].changes[0].relation, nullptr);
  EXPECT_TRUE(eventually([&] { return streaming.source->status().open_spills == 0; }));
}

TEST_F(StreamTest, streamed_while_in_progress_in_parallel_form_or_not_at_all_it_is_the_same_stream) {
  const bool can_stream = sql->server_version() >= 140000;
  for (const StreamingMode mode : {StreamingMode::kOff, StreamingMode::kOn, StreamingMode::kParallel}) {
    SourceSpec modal = spec();
    modal.streaming = mode;
    modal.slot += std::to_string(static_cast<int>(mode));
    Streaming streaming(modal);
    streaming.prepare();
    streaming.start();
    run("BEGIN; INSERT INTO public.t SELECT g, repeat('a', 100) FROM generate_series(1, 3000) g; SAVEPOINT s; "
        "INSERT INTO public.t SELECT g, repeat('b', 100) FROM generate_series(3001, 6000) g; ROLLBACK TO s; COMMIT");
    run("BEGIN; INSERT INTO public.t SELECT g, repeat('a', 100) FROM generate_series(3001, 6000) g; ROLLBACK");
    run("DELETE FROM public.t");
    ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 2; }));
    const auto units = streaming.log.units();
    EXPECT_EQ(units[0].streamed, can_stream && mode != StreamingMode::kOff);
    EXPECT_EQ(units[0].changes.size(), 3000u);
    EXPECT_EQ(units[1].changes.size(), 3000u);
    EXPECT_TRUE(eventually([&] { return streaming.source->status().open_spills == 0; }));
    EXPECT_EQ(streaming.memory.load()->streaming, can_stream && mode != StreamingMode::kOff);
  }
}

TEST_F(StreamTest, an_idle_database_is_acknowledged_past_changes_that_do_not_concern_us) {
  run("CREATE TABLE public.other (id int)");
  SourceSpec one = spec();
  one.tables = {"public.t"};
  Streaming streaming(one);
  streaming.prepare();
  streaming.start();
  run("INSERT INTO public.other SELECT generate_series(1, 1000)");
  const Lsn end = run("SELECT pg_current_wal_insert_lsn()").lsn(0, 0);
  EXPECT_TRUE(eventually([&] { return streaming.log.durable_end() >= end; }));
  EXPECT_TRUE(eventually([&] {
    return run("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'tailrace_stream'").lsn(0, 0) >=
           end;
  }));
  EXPECT_EQ(streaming.log.unit_count(), 0u);
}

TEST_F(StreamTest, a_full_log_holds_the_stream_up_without_losing_the_connection) {
  Streaming streaming(spec());
  streaming.prepare();
  streaming.log.be_full(45);
  streaming.start();
  run("INSERT INTO public.t VALUES (1, 'one'), (2, 'two')");
  EXPECT_TRUE(eventually([&] { return streaming.source->status().state == SourceState::kLogFull; }));
  // Longer than wal_sender_timeout: the server must have been answered meanwhile.
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 1; }));
  EXPECT_EQ(streaming.log.units()[0].changes.size(), 2u);
  EXPECT_EQ(streaming.source->status().reconnects, 0u);
}

TEST_F(StreamTest, another_history_at_the_end_of_the_log_is_refused) {
  Streaming streaming(spec());
  streaming.prepare();
  streaming.start();
  run("INSERT INTO public.t VALUES (1, 'one')");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 1; }));
  streaming.stop();
  // The server lets go of the slot a moment after the connection ended.
  ASSERT_TRUE(eventually([&] { return run("SELECT FROM pg_replication_slots WHERE active").empty(); }));
  run("SELECT pg_drop_replication_slot('tailrace_stream')");
  streaming.renew();
  EXPECT_EQ(streaming.refusal(), "TR115");
}

TEST_F(StreamTest, a_slot_that_somebody_else_advanced_is_refused) {
  Streaming streaming(spec());
  streaming.prepare();
  run("INSERT INTO public.t VALUES (1, 'one')");
  run("SELECT pg_replication_slot_advance('tailrace_stream', pg_current_wal_lsn())");
  streaming.renew();
  EXPECT_EQ(streaming.refusal(), "TR118");
}

TEST_F(StreamTest, tables_that_leave_or_miss_the_publication_are_named) {
  run("CREATE TABLE public.leaving (id int PRIMARY KEY)");
  Streaming streaming(spec());
  streaming.prepare();
  run("ALTER PUBLICATION tailrace_stream DROP TABLE public.leaving");
  run("CREATE TABLE public.young (id int PRIMARY KEY)");
  streaming.start();
  ASSERT_TRUE(eventually([&] { return streaming.source->status().problems.size() == 2; }));
  const auto problems = streaming.source->status().problems;
  EXPECT_EQ(problems[0].code, "TR134");
  EXPECT_NE(problems[0].what.find("public.leaving"), std::string::npos);
  EXPECT_EQ(problems[1].code, "TR133");
  EXPECT_NE(problems[1].what.find("public.young"), std::string::npos);
}

TEST_F(StreamTest, a_column_dropped_and_added_under_its_name_is_another_column) {
  Streaming streaming(spec());
  streaming.prepare();
  streaming.start();
  run("INSERT INTO public.t VALUES (1, 'old')");
  run("INSERT INTO public.t VALUES (2, 'old')");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 2; }));
  run("ANALYZE public.t");
  run("INSERT INTO public.t VALUES (3, 'old')");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 3; }));
  run("ALTER TABLE public.t DROP COLUMN v; ALTER TABLE public.t ADD COLUMN v text");
  run("INSERT INTO public.t VALUES (4, 'new')");
  ASSERT_TRUE(eventually([&] { return streaming.log.unit_count() == 4; }));
  const auto units = streaming.log.units();
  EXPECT_EQ(units[0].changes[0].relation, units[2].changes[0].relation);
  EXPECT_EQ(units[2].changes[0].relation->columns[1].attnum, 2);
  EXPECT_EQ(units[3].changes[0].relation->columns[1].attnum, 3);
}

TEST_F(StreamTest, a_slot_that_waits_for_old_transactions_says_so_and_survives_a_cut_connection) {
  const auto old = PrivateCluster::instance().connect("stream");
  old->query("BEGIN; SELECT pg_current_xact_id()", "holding a transaction open");
  Streaming streaming(spec());
  std::string failure;
  std::jthread preparing([&] {
    try {
      streaming.prepare();
    } catch (const Error& error) {
      failure = error.code();
    }
  });
  ASSERT_TRUE(eventually([&] {
    const auto problems = streaming.source->status().problems;
    return problems.size() == 1 && problems[0].code == "TR127" && problems[0].what.find("process") != std::string::npos;
  }));
  run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'tailrace_stream'");
  std::this_thread::sleep_for(milliseconds(300));
  old->query("COMMIT", "ending the old transaction");
  preparing.join();
  EXPECT_EQ(failure, "");
  EXPECT_TRUE(streaming.memory.load()->consistent_point.valid());
}

TEST_F(StreamTest, wait_is_answered_by_a_position_that_the_stream_soon_passes) {
  Streaming streaming(spec());
  streaming.prepare();
  streaming.start();
  const Lsn end = streaming.source->request_current_end();
  EXPECT_TRUE(eventually([&] { return streaming.log.durable_end() >= end; }));
}

TEST_F(StreamTest, a_fast_shutdown_of_the_server_is_not_held_up_and_streaming_goes_on_afterwards) {
  Streaming streaming(spec());
  streaming.prepare();
  streaming.start();
  run("INSERT INTO public.t VALUES (1, 'one')");
  const auto before = SteadyClock::now();
  PrivateCluster::instance().restart("fast");
  EXPECT_LT(SteadyClock::now() - before, seconds(20));
  sql = PrivateCluster::instance().connect("stream");
  run("INSERT INTO public.t VALUES (2, 'two')");
  EXPECT_TRUE(eventually([&] { return streaming.log.unit_count() == 2; }));
}

}  // namespace
}  // namespace tailrace::postgres
