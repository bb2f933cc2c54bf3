// A target that breaks is set aside and made anew, while everything else goes on.

#include <gtest/gtest.h>

#include <deque>

#include "pipeline/pipeline.h"
#include "pipeline/test_parts.h"

namespace tailrace::pipeline {
namespace {

using std::chrono_literals::operator""ms;
using test::eventually;
using Rows = std::vector<std::string>;

enum class Fate { kDamage, kRetry };

/// A pipeline with two targets, run on a thread; stops with the object.
class DamagedTargets : public ::testing::Test {
 protected:
  ~DamagedTargets() override {
    stop_.request_stop();
    if (thread_.joinable()) thread_.join();
  }
  void start(bool with_other) {
    PipelineSpec spec;
    spec.name = "shop";
    spec.state = directory_.path() / "shop";
    spec.source = test::memory_source(server_);
    spec.sinks.push_back(test::memory_sink("target", target_));
    if (with_other) spec.sinks.push_back(test::memory_sink("other", other_));
    spec.memory = 128ULL << 20;
    RunOptions options;
    pipeline_ = std::make_unique<Pipeline>(std::move(spec), options);
    thread_ = std::thread([this] {
      try {
        pipeline_->run(stop_.get_token(), [] {});
      } catch (const Error& error) {
        code_ = error.code();
      }
    });
  }
  void join() { thread_.join(); }
  /// What befalls the target: the first of these as soon as its step comes, then the next one.
  void fates(std::deque<std::pair<std::string, Fate>> fates) {
    const std::lock_guard lock(target_.mutex);
    fates_ = std::move(fates);
    target_.fate = [this](const std::string& step) {
      if (fates_.empty() || fates_.front().first != step) return;
      const Fate fate = fates_.front().second;
      fates_.pop_front();
      if (fate == Fate::kDamage) throw sinks::DamagedTarget("TR605", "a block does not fit its checksum", "");
      throw RetryError("TR607", "not now", "");
    };
  }
  std::string code() const { return code_; }
  std::vector<std::string> problem_codes() const {
    std::vector<std::string> codes;
    for (const Problem& problem : pipeline_->status().problems) codes.push_back(problem.code);
    return codes;
  }

  test::TemporaryDirectory directory_;
  test::MemoryServer server_;
  test::MemoryTarget target_;
  test::MemoryTarget other_;
  std::unique_ptr<Pipeline> pipeline_;

 private:
  std::deque<std::pair<std::string, Fate>> fates_;  // guarded by the target's mutex
  std::stop_source stop_;
  std::string code_;
  std::thread thread_;
};

TEST_F(DamagedTargets, AreCopiedAnewWhileTheOthersGoOn) {
  server_.rows_at_start = {"old"};
  start(true);
  server_.commit("a");
  ASSERT_TRUE(eventually([&] { return target_.look() == Rows{"old", "a"} && other_.look() == Rows{"old", "a"}; }));
  Rows all = {"old", "a"};
  const auto expect_mended = [&](const std::string& row, std::deque<std::pair<std::string, Fate>> befall) {
    fates(std::move(befall));
    server_.commit(row);
    all.push_back(row);
    EXPECT_TRUE(eventually([&] { return target_.look() == all && other_.look() == all; })) << row;
  };
  expect_mended("while it is applied", {{"apply", Fate::kDamage}});
  expect_mended("while it is flushed", {{"flush", Fate::kDamage}});
  expect_mended("when it is opened again", {{"apply", Fate::kRetry}, {"open", Fate::kDamage}});
  EXPECT_EQ(problem_codes(), (std::vector<std::string>{"TR624", "TR624", "TR624"}));
  EXPECT_EQ(std::ranges::count(other_.steps, "open"), 1);
}

TEST_F(DamagedTargets, ThatBreakOverAndOverEndTheSink) {
  fates(std::deque<std::pair<std::string, Fate>>(4, {"apply", Fate::kDamage}));
  server_.commit("a");
  start(false);
  join();
  EXPECT_EQ(code(), "TR605");
  EXPECT_EQ(std::ranges::count(target_.steps, "set_aside"), 3);
}

TEST_F(DamagedTargets, AreTriedAgainUntilTheyCanBeSetAside) {
  fates({{"open", Fate::kDamage}, {"set_aside", Fate::kRetry}, {"open", Fate::kDamage}, {"set_aside", Fate::kRetry}});
  server_.commit("a");
  start(false);
  EXPECT_TRUE(eventually([&] { return target_.look() == Rows{"a"}; }));
  EXPECT_EQ(std::ranges::count(target_.steps, "set_aside"), 2);
}

// An older state of the file opens well, but the changes behind it are gone from the log.
TEST_F(DamagedTargets, ATargetThatLostWhatItHadIsDamaged) {
  server_.rows_at_start = {"old"};
  server_.commit("a");
  start(false);
  ASSERT_TRUE(eventually([&] { return target_.look() == Rows{"old", "a"}; }));
  {
    const std::lock_guard lock(target_.mutex);
    target_.cursor = Cursor{{1, Lsn(500), 0}, Seq(500), PgTime(0)};
    target_.rows = {"older"};
  }
  fates({{"apply", Fate::kRetry}});
  server_.commit("b");
  ASSERT_TRUE(eventually([&] { return target_.look() == Rows{"old", "a", "b"}; }));
  EXPECT_EQ(problem_codes(), (std::vector<std::string>{"TR624"}));
}

}  // namespace
}  // namespace tailrace::pipeline
