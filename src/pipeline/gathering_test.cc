#include <gtest/gtest.h>

#include <chrono>

#include "pipeline/pipeline_for_test.h"

// Batches that wait for more.
namespace tailrace::pipeline {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using test::Background;
using test::eventually;
using test::MemoryServer;
using test::PipelineTest;
using test::Rows;

TEST_F(PipelineTest, ChangesAreGatheredUntilThereAreEnoughOfThem) {
  PipelineSpec rules = spec();
  rules.sinks.front().delivery.gather.wait = std::chrono::hours(1);
  rules.sinks.front().delivery.gather.rows = 3;
  Background running(std::move(rules), quick());
  server_.commit("a");
  ASSERT_TRUE(eventually([this] { return target_.did("apply"); }));
  server_.commit("b");
  std::this_thread::sleep_for(100ms);
  EXPECT_TRUE(target_.look().empty());
  server_.commit("c");
  ASSERT_TRUE(eventually([this] { return target_.look().size() == 3; }));
  server_.commit("d");
  ASSERT_TRUE(eventually([this] { return target_.times("apply") == 4; }));
  EXPECT_EQ(running.finish(), "") << "what is gathered is not lost at the end";
  EXPECT_EQ(target_.look().size(), 4U);
}

TEST_F(PipelineTest, WhatIsGatheredIsNotTakenForArrivedBecauseTheSourceIsIdleBehindIt) {
  PipelineSpec rules = spec();
  rules.sinks.front().delivery.gather.wait = std::chrono::hours(1);
  rules.sinks.front().delivery.gather.rows = 2;
  Background running(std::move(rules), quick());
  server_.commit("a");
  ASSERT_TRUE(eventually([this] { return target_.did("apply"); }));
  {
    const std::lock_guard lock(server_.mutex);
    server_.idle_until = Lsn(1150);
  }
  EXPECT_THROW(running->wait({MemoryServer::end_of(0), "", 300ms}, {}), TimeoutError);
  server_.commit("b");
  EXPECT_EQ(running->wait({MemoryServer::end_of(1), "", 5s}, {}), MemoryServer::end_of(1));
  EXPECT_EQ(target_.look(), (Rows{"a", "b"}));
  EXPECT_EQ(running.finish(), "");
}

TEST_F(PipelineTest, WhatIsGatheredWaitsNoLongerThanItMay) {
  PipelineSpec rules = spec();
  rules.sinks.front().delivery.gather.wait = 100ms;
  Background running(std::move(rules), quick());
  server_.commit("a");
  EXPECT_TRUE(eventually([this] { return target_.look() == Rows{"a"}; }));
  EXPECT_EQ(running.finish(), "");
}

}  // namespace
}  // namespace tailrace::pipeline
