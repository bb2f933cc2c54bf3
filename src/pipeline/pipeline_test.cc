#include "pipeline/pipeline.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/error_code_for_test.h"
#include "pipeline/control_client.h"
#include "pipeline/control_server.h"
#include "pipeline/pipeline_for_test.h"
#include "pipeline/test_parts.h"

namespace tailrace::pipeline {
namespace {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using test::Background;
using test::eventually;
using test::MemoryServer;
using test::MemoryTarget;
using test::PipelineTest;
using test::Rows;

TEST_F(PipelineTest, CopiesThenFollowsAndGoesOnWhereItWas) {
  server_.rows_at_start = {"old1", "old2"};
  server_.commit("a");
  run_until_caught_up();
  EXPECT_EQ(target_.look(), (Rows{"old1", "old2", "a"}));
  server_.commit("b");
  server_.commit("c");
  run_until_caught_up();
  EXPECT_EQ(target_.look(), (Rows{"old1", "old2", "a", "b", "c"}));
  EXPECT_EQ(target_.counters.received, 3U);
  EXPECT_EQ(target_.counters.applied, 3U);
}

TEST_F(PipelineTest, AReplacedTargetIsCopiedAnewBeforeItCountsAsCaughtUp) {
  server_.rows_at_start = {"old"};
  server_.commit("a");
  run_until_caught_up();
  target_.cursor.reset();
  target_.copied.clear();
  target_.rows.clear();
  run_until_caught_up();
  EXPECT_EQ(target_.look(), (Rows{"old", "a"}));
}

TEST_F(PipelineTest, AStopRequestDrainsWhatIsJournaled) {
  Background running(spec(), quick());
  server_.commit("first");
  ASSERT_TRUE(eventually([this] { return target_.look() == Rows{"first"}; }));
  for (int i = 1; i < 200; ++i) server_.commit(std::to_string(i));
  EXPECT_EQ(running.finish(), "");
  EXPECT_EQ(target_.look().size(), 200U);
  EXPECT_EQ(running->status().state, "stopped");
}

TEST_F(PipelineTest, ATargetThatGoesOnFailingIsLeftAloneAndTriedOnceInAWhile) {
  std::atomic<int> flushes{0};
  std::atomic<bool> down{true};
  target_.fate = [&](const std::string& step) {
    if (step != "flush" || !down) return;
    ++flushes;
    throw RetryError("TR601", "busy", "");
  };
  PipelineSpec rules = spec();
  RetryRules& retry = rules.sinks.front().delivery.retry;
  retry.failures = 3;
  retry.recovery = 150ms;
  Background running(std::move(rules), quick());
  server_.commit("a");
  ASSERT_TRUE(eventually([&] { return running->status().sinks.at(0).breaker == "open"; }));
  const int before = flushes;
  EXPECT_EQ(before, 3);
  ASSERT_TRUE(eventually([&] { return flushes > before; })) << "one attempt";
  EXPECT_TRUE(eventually([&] { return running->status().sinks.at(0).breaker == "open"; }));
  down = false;
  ASSERT_TRUE(eventually([this] { return target_.look() == Rows{"a"}; }));
  EXPECT_TRUE(eventually([&] { return running->status().sinks.at(0).breaker == "closed"; }));
  EXPECT_EQ(running.finish(), "");
}

TEST_F(PipelineTest, ASinkWhoseAttemptsAreUsedUpHasFailedAndItsCursorStays) {
  server_.commit("a");
  run_until_caught_up();
  const auto cursor = target_.cursor;
  target_.fate = [](const std::string& step) {
    if (step == "flush") throw RetryError("TR601", "busy", "wait");
  };
  PipelineSpec rules = spec();
  rules.sinks.front().delivery.retry.attempts = 4;
  Background running(std::move(rules), quick());
  server_.commit("b");
  ASSERT_TRUE(eventually([&] { return running->status().sinks.at(0).state == "failed"; }));
  EXPECT_EQ(target_.cursor, cursor);
  EXPECT_EQ(target_.look(), Rows{"a"});
  EXPECT_EQ(running.finish(), "TR601");
}

TEST_F(PipelineTest, ABusyTargetIsTriedAgainAndNothingIsDoubled) {
  std::atomic<int> refusals{0};
  target_.fate = [&refusals](const std::string& step) {
    if (step == "flush" && refusals++ < 3) throw RetryError("TR601", "busy", "");
  };
  for (int i = 0; i < 20; ++i) server_.commit(std::to_string(i));
  run_until_caught_up();
  EXPECT_EQ(target_.look().size(), 20U);
  EXPECT_GE(refusals.load(), 3);
  EXPECT_EQ(target_.counters.applied, 20U);
}

TEST_F(PipelineTest, ABatchIsWhatArrivedWhileTheLastOneWasApplied) {
  std::atomic<bool> held{true};
  std::atomic<bool> applying{false};
  target_.fate = [&](const std::string& step) {
    if (step != "apply") return;
    applying = true;
    while (held) std::this_thread::sleep_for(1ms);
  };
  RunOptions options = quick();
  options.runner.progress_every = 1h;
  Background running(spec(), options);
  server_.commit("first");
  // A lone transaction is applied without waiting for company.
  ASSERT_TRUE(eventually([&] { return applying.load(); }));
  for (int i = 0; i < 50; ++i) server_.commit(std::to_string(i));
  ASSERT_TRUE(eventually([&] { return running->status().log_durable >= MemoryServer::end_of(50); }));
  held = false;
  ASSERT_TRUE(eventually([this] { return target_.look().size() == 51; }));
  EXPECT_EQ(std::ranges::count(target_.steps, "apply"), 2);
}

TEST_F(PipelineTest, ARefusingTargetFailsWithItsCursorKept) {
  server_.commit("a");
  run_until_caught_up();
  const auto cursor = target_.cursor;
  target_.fate = [](const std::string& step) {
    if (step == "apply") throw RefusedError("TR602", "not ours", "");
  };
  server_.commit("b");
  Background running(spec(), quick());
  EXPECT_EQ(running.join(), "TR602");
  EXPECT_EQ(target_.cursor, cursor);
}

TEST_F(PipelineTest, OneFailedSinkDoesNotStopTheOthers) {
  MemoryTarget broken;
  broken.fate = [](const std::string& step) {
    if (step == "open") throw CorruptionError("TR603", "damaged", "");
  };
  PipelineSpec two = spec();
  two.sinks.push_back(test::memory_sink("broken", broken));
  Background running(std::move(two), quick());
  server_.commit("a");
  EXPECT_TRUE(eventually([this] { return target_.look() == Rows{"a"}; }));
  EXPECT_TRUE(eventually([&running] { return running->status().state == "failed"; }));
  const auto problems = running->status().problems;
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].code, "TR603");
  EXPECT_EQ(problems[0].what, "broken: damaged");
  EXPECT_NE(problems[0].remedy.find("start the pipeline again"), std::string::npos);
  EXPECT_EQ(running.finish(), "");
}

TEST_F(PipelineTest, DeadLettersAreStoredBeforeTheCursorAndCountersAddUp) {
  std::vector<std::uint64_t> letters_at_flush;
  target_.fate = [&](const std::string& step) {
    if (step != "flush") return;
    Catalog look(directory_.path() / "shop" / "catalog.sqlite", Catalog::Access::kRead);
    letters_at_flush.push_back(look.count_letters("target"));
  };
  server_.commit("bad");
  run_until_caught_up();
  ASSERT_FALSE(letters_at_flush.empty());
  EXPECT_EQ(letters_at_flush.back(), 1U);
  EXPECT_EQ(target_.counters.received, target_.counters.applied + target_.counters.dead_lettered);
}

TEST_F(PipelineTest, LettersOfARangeThatIsDoneAgainAreNotDoubled) {
  server_.commit("bad");
  std::atomic<int> crashes{0};
  target_.fate = [&crashes](const std::string& step) {
    if (step == "flush" && crashes++ == 0) throw RetryError("TR601", "lost", "");
  };
  run_until_caught_up();
  Catalog look(directory_.path() / "shop" / "catalog.sqlite", Catalog::Access::kRead);
  EXPECT_EQ(look.count_letters("target"), 1U);
  EXPECT_EQ(target_.counters.dead_lettered, 1U);
}

TEST_F(PipelineTest, ReplayedLettersAreGoneAndThoseThatAreRefusedAgainStay) {
  for (const char* row : {"bad", "bad", "good"}) server_.commit(row);
  Background running(spec(), quick());
  Catalog& look = running->catalog();
  ASSERT_TRUE(eventually([&look] { return look.count_letters("target") == 2U; }));
  EXPECT_EQ(code_of([&] { running->replay("target", {.ids = {1, 2}}, 20s); }), "TR226");
  EXPECT_EQ(code_of([&] { running->replay("target", {.ids = {9}}, 20s); }), "TR224");
  const LetterOrder mended{.ids = {1}, .edits = {{"v", "mended"}}};
  const LetterOrder rehearsal{.ids = {1}, .edits = mended.edits, .rehearsal = true};
  EXPECT_EQ(running->replay("target", rehearsal, 20s).replayed, 1U);
  EXPECT_EQ(look.count_letters("target"), 2U);
  running->replay("target", mended, 20s);
  EXPECT_EQ(look.count_letters("target"), 1U);
  EXPECT_EQ(target_.look(), (Rows{"good", "mended"}));
}

TEST_F(PipelineTest, WithoutSinksCaughtUpMeansDurableInTheLog) {
  PipelineSpec none = spec();
  none.sinks.clear();
  server_.commit("a");
  Pipeline pipeline(std::move(none), until_caught_up());
  pipeline.run({}, [] {});
  EXPECT_EQ(pipeline.status().log_durable, MemoryServer::end_of(0));
}

TEST_F(PipelineTest, ASourceThatWasNeverReachedEndsTheRun) {
  server_.prepare_fate = [] { throw RetryError("TR101", "no route", ""); };
  Background running(spec(), quick());
  EXPECT_EQ(running.join(), "TR101");
}

TEST_F(PipelineTest, ARefusingSourceEndsTheRunAfterDraining) {
  server_.commit("a");
  run_until_caught_up();
  server_.stream_fate = [] { throw RefusedError("TR150", "the slot is lost", ""); };
  Background running(spec(), quick());
  EXPECT_EQ(running.join(), "TR150");
}

TEST_F(PipelineTest, ATargetOlderThanTheLogIsRefused) {
  target_.cursor = Cursor{{1, Lsn(500), 0}, Seq(500), PgTime(0)};
  Background running(spec(), quick());
  EXPECT_EQ(running.join(), "TR690");
}

TEST_F(PipelineTest, ACopyOlderThanTheLogIsMadeAgain) {
  // As a first copy leaves the target that was interrupted, and whose state and slot were then dropped.
  Fence before;
  before.end = Lsn(500);
  target_.copied.push_back({test::text_table(1), before, 1});
  target_.rows = {"deleted since"};
  server_.rows_at_start = {"old"};
  server_.commit("a");
  run_until_caught_up();
  EXPECT_EQ(target_.look(), (Rows{"old", "a"}));
}

TEST_F(PipelineTest, ATargetBeyondTheLogIsRefused) {
  target_.cursor = Cursor{{1, Lsn(9000), 0}, Seq(9000), PgTime(0)};
  server_.commit("a");
  Background running(spec(), quick());
  EXPECT_EQ(running.join(), "TR692");
  EXPECT_EQ(target_.look(), Rows{});
}

TEST_F(PipelineTest, AnIdleTargetIsReleasedAndTakenBack) {
  PipelineSpec releasing = spec();
  releasing.sinks[0].release_when_idle = 30ms;
  Background running(std::move(releasing), quick());
  server_.commit("a");
  EXPECT_TRUE(eventually([this] { return target_.did("release"); }));
  EXPECT_TRUE(eventually([&] { return running->status().sinks[0].state == "released"; }));
  server_.commit("b");
  EXPECT_TRUE(eventually([this] { return target_.look() == (Rows{"a", "b"}); }));
}

TEST_F(PipelineTest, ALentTargetIsLeftAloneUntilItComesBack) {
  PipelineSpec lending = spec();
  lending.sinks[0].query = [](const QueryRequest&, const QueryOutput&, std::stop_token) {};
  Background running(std::move(lending), quick());
  server_.commit("a");
  ASSERT_TRUE(eventually([this] { return target_.look() == Rows{"a"}; }));
  EXPECT_EQ(running->lend("", 5s).name, "target");
  EXPECT_THROW(running->lend("", 5s), RetryError);
  server_.commit("b");
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(target_.look(), Rows{"a"});
  running->give_back("target");
  EXPECT_TRUE(eventually([this] { return target_.look() == (Rows{"a", "b"}); }));
}

TEST_F(PipelineTest, ATargetIsLentOnceNobodyReadsItAndNotReadWhileItIsLent) {
  PipelineSpec lending = spec();
  lending.sinks[0].query = [](const QueryRequest&, const QueryOutput&, std::stop_token) {};
  Background running(std::move(lending), quick());
  server_.commit("a");
  ASSERT_TRUE(eventually([this] { return target_.look() == Rows{"a"}; }));
  std::optional<TargetVisit> visit(running->visit("target", 0ms, {}));
  EXPECT_THROW(running->lend("", 200ms), TimeoutError);
  ASSERT_TRUE(eventually([&] { return running->status().sinks[0].state != "lent"; }));
  std::atomic<bool> lent{false};
  const std::jthread borrower([&] {
    running->lend("", 10s);
    lent = true;
  });
  ASSERT_TRUE(eventually([&] { return running->status().sinks[0].state == "lent"; }));
  EXPECT_THROW(running->visit("target", 0ms, {}), RetryError);
  EXPECT_FALSE(lent);
  visit.reset();
  EXPECT_TRUE(eventually([&] { return lent.load(); }));
  const std::jthread reader([&] { visit.emplace(running->visit("target", 10s, {})); });
  running->give_back("target");
}

TEST_F(PipelineTest, RowsThatLackAValueAreReadBesideTheStreamWhateverTheSourceDoes) {
  std::atomic<int> reads{0};
  std::atomic<bool> hangs{true};
  server_.read_fate = [&](const std::stop_token& stop) -> FencedRows {
    if (++reads == 1) throw RetryError("TR101", "no answer", "");
    while (hangs && !stop.stop_requested()) std::this_thread::sleep_for(1ms);
    FencedRows read;
    read.rows.count = hangs ? 0 : 2;
    return read;
  };
  RunOptions options = quick();
  options.runner.first_completion = 1ms;
  target_.lacking = 2;
  {
    Background running(spec(), options);
    server_.commit("before");
    ASSERT_TRUE(eventually([&] { return reads == 2; }));
    // The source does not answer, and the sink goes on.
    for (int i = 0; i < 20; ++i) server_.commit(std::to_string(i));
    EXPECT_TRUE(eventually([this] { return target_.look().size() == 21U; }));
    EXPECT_EQ(running.finish(), "");
  }
  EXPECT_EQ(target_.lacking, 2U);
  hangs = false;
  Background running(spec(), options);
  EXPECT_TRUE(eventually([this] { return target_.lacking == 0U; }));
  EXPECT_TRUE(eventually([&] { return running->status().sinks.front().completed == 2U; }));
}

TEST_F(PipelineTest, WhatCameWhileATableWasCopiedAgainIsInTheCopyOnceAndBehindIt) {
  std::atomic<bool> first{true};
  std::atomic<bool> reads{false};
  std::atomic<bool> goes_on{false};
  server_.rows_at_start = {"old"};
  server_.copy_fate = [&] {
    if (first.exchange(false)) return;
    reads = true;
    eventually([&] { return goes_on.load(); });
  };
  server_.commit("before");
  Background running(spec(), quick());
  ASSERT_TRUE(eventually([this] { return target_.look() == Rows{"old", "before"}; }));
  {
    const std::lock_guard lock(target_.mutex);
    target_.rows = {"bent"};
  }
  running->copy_again({"t1"}, "", "");
  ASSERT_TRUE(eventually([&] { return reads.load(); }));
  server_.commit("meanwhile");
  ASSERT_TRUE(eventually([this] { return target_.look() == Rows{"bent", "meanwhile"}; }));
  goes_on = true;
  ASSERT_TRUE(eventually([this] { return target_.did("merge"); }));
  server_.commit("after");
  ASSERT_TRUE(eventually([this] { return target_.look().size() > 3; }));
  EXPECT_EQ(running.finish(), "");
  EXPECT_EQ(target_.look(), (Rows{"old", "before", "meanwhile", "after"}));
}

TEST_F(PipelineTest, CommandsReachItThroughTheSocket) {
  PipelineSpec answering = spec();
  answering.sinks[0].query = [](const QueryRequest& request, const QueryOutput& output, std::stop_token) {
    if (request.sql == "wrong") throw BadConfigError("TR612", "no such table", "");
    output("one\n");
    output("two\n" + std::string(200'000, '\0'));
  };
  Background running(std::move(answering), quick());
  const StatePaths paths = running->paths();
  std::atomic<bool> stopped = false;
  {
    ControlServer server(*running, [&stopped] { stopped = true; });
    server_.commit("a");
    auto client = ControlClient::connect(paths);
    ASSERT_TRUE(client.has_value());
    EXPECT_EQ(client->ask({{"do", "wait"}, {"timeout_ms", 5000}})["lsn"], MemoryServer::end_of(0).str());
    EXPECT_EQ(client->ask({{"do", "status"}})["status"]["sinks"][0]["rows_applied"], 1);
    std::string text;
    client->ask({{"do", "query"}, {"sql", "x"}}, [&text](std::string_view piece) { text += piece; });
    EXPECT_EQ(text, "one\ntwo\n" + std::string(200'000, '\0'));
    EXPECT_THROW(client->ask({{"do", "query"}, {"sql", "wrong"}}), BadConfigError);
    EXPECT_THROW(client->ask({{"do", "dance"}}), BadConfigError);
    EXPECT_THROW(client->ask({{"do", "wait"}, {"lsn", "FFFF/0"}, {"timeout_ms", 10}}), TimeoutError);
    EXPECT_THROW(client->ask({{"do", "wait"}, {"lsn", "here"}}), BadConfigError);
    client->ask({{"do", "stop"}});
    // The answer is sent first.
    EXPECT_TRUE(eventually([&] { return stopped.load(); }));
    {
      auto borrower = ControlClient::connect(paths);
      EXPECT_EQ(borrower->ask({{"do", "lend"}, {"timeout_ms", 5000}})["sink"], "target");
      EXPECT_EQ(running->status().sinks[0].state, "lent");
    }
    EXPECT_TRUE(eventually([&] { return running->status().sinks[0].state == "streaming"; }));
  }
  EXPECT_FALSE(ControlClient::connect(paths).has_value());
}

}  // namespace
}  // namespace tailrace::pipeline
