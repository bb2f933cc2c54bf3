#include <gtest/gtest.h>

#include <atomic>

#include "base/error_code_for_test.h"
#include "pipeline/pipeline_for_test.h"

// Who waits for a pipeline.
namespace tailrace::pipeline {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using test::Background;
using test::MemoryServer;
using test::PipelineTest;

using Rows = std::vector<std::string>;

TEST_F(PipelineTest, WaitReturnsWhenTheSinkHasWhatWasCommitted) {
  Background running(spec(), quick());
  server_.commit("a");
  EXPECT_EQ(running->wait({std::nullopt, "", 5s}, {}), MemoryServer::end_of(0));
  EXPECT_EQ(target_.look(), Rows{"a"});
  EXPECT_THROW(running->wait({Lsn(1U << 30), "target", 30ms}, {}), TimeoutError);
  EXPECT_THROW(running->wait({std::nullopt, "nobody", 1s}, {}), BadConfigError);
}

TEST_F(PipelineTest, WhoWaitsIsToldOfTablesThatAreHeldAndWaitsForWhatComesByItself) {
  using Until = Pipeline::WaitOrder::Until;
  server_.commit("a");
  target_.problems = {{"TR610", "public.t", "table public.t is held", "none", sinks::Lack::kForNow}};
  std::atomic<bool> mended = false;
  target_.fate = [this, &mended](const std::string& step) {
    if (step == "flush" && mended) target_.problems.clear();
  };
  Background running(spec(), quick());
  EXPECT_EQ(code_of([&] { running->wait({std::nullopt, "", 300ms}, {}); }), "TR221");
  EXPECT_EQ(running->wait({std::nullopt, "", 5s, Until::kRows}, {}), MemoryServer::end_of(0));
  mended = true;
  server_.commit("b");
  EXPECT_EQ(running->wait({std::nullopt, "", 5s}, {}), MemoryServer::end_of(1));
}

TEST_F(PipelineTest, WhoWaitsIsToldAtOnceWhatNothingWillMend) {
  server_.commit("a");
  target_.problems = {{"TR802", "public.t", "table public.t is held", "none", sinks::Lack::kUntilDecided}};
  Background running(spec(), quick());
  EXPECT_EQ(code_of([&] { running->wait({std::nullopt, "", 60s}, {}); }), "TR229");
}

}  // namespace
}  // namespace tailrace::pipeline
