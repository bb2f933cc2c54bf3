#include "server/endpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/pipelines_for_test.h"

namespace tailrace::server {
namespace {

using std::chrono_literals::operator""s;
using ::testing::HasSubstr;

class EndpointsTest : public ::testing::Test {
 protected:
  EndpointsTest() {
    pipelines_.add(shop_);
    pipelines_.set_phase(WatchedPipelines::Phase::kRunning);
  }

  test::StatedPipeline shop_{"shop"};
  WatchedPipelines pipelines_;
};

TEST_F(EndpointsTest, AliveMeansThatLoopsComeRoundWhateverTheSourceDoes) {
  shop_.status_.source.state = sources::SourceState::kWaitingToReconnect;
  shop_.status_.state = "failed";
  EXPECT_EQ(live(pipelines_).status, 200);
  shop_.silence_ = 31s;
  EXPECT_EQ(live(pipelines_).status, 503);
  EXPECT_THAT(live(pipelines_).body, HasSubstr("shop does not move"));
  EXPECT_EQ(health(pipelines_).status, 500);
  // It drains: that takes as long as it takes.
  shop_.life_ = Watched::Life::kEnding;
  EXPECT_EQ(live(pipelines_).status, 200);
}

TEST_F(EndpointsTest, ReadyMeansThatEveryLogTakesChanges) {
  EXPECT_EQ(ready(pipelines_).status, 200);
  test::StatedPipeline other("other");
  pipelines_.add(other);
  other.status_.source.state = sources::SourceState::kLogFull;
  EXPECT_EQ(ready(pipelines_).status, 503);
  EXPECT_THAT(ready(pipelines_).body, HasSubstr("other has a log that takes nothing"));
  other.status_.source.state = sources::SourceState::kStreaming;
  EXPECT_EQ(ready(pipelines_).status, 200);
  other.life_ = Watched::Life::kEnded;
  EXPECT_THAT(ready(pipelines_).body, HasSubstr("other has ended"));
  pipelines_.remove(other);
  EXPECT_EQ(ready(pipelines_).status, 200);
  pipelines_.set_phase(WatchedPipelines::Phase::kEnding);
  EXPECT_EQ(ready(pipelines_).status, 503);
}

TEST_F(EndpointsTest, HealthHasKafkaConnectsForm) {
  pipelines_.set_phase(WatchedPipelines::Phase::kStarting);
  EXPECT_EQ(health(pipelines_).status, 503);
  EXPECT_EQ(nlohmann::json::parse(health(pipelines_).body)["status"], "starting");
  pipelines_.set_phase(WatchedPipelines::Phase::kRunning);
  const nlohmann::json healthy = nlohmann::json::parse(health(pipelines_).body);
  EXPECT_EQ(healthy.size(), 2u);
  EXPECT_EQ(healthy["status"], "healthy");
  EXPECT_TRUE(healthy["message"].is_string());
}

TEST_F(EndpointsTest, StatusIsOfTheOnlyPipelineOrOfTheOneNamed) {
  EXPECT_EQ(nlohmann::json::parse(status(pipelines_, "").body)["name"], "shop");
  EXPECT_EQ(status(pipelines_, "till").status, 404);
  test::StatedPipeline other("other");
  pipelines_.add(other);
  EXPECT_EQ(status(pipelines_, "").status, 400);
  EXPECT_THAT(status(pipelines_, "").body, HasSubstr("shop, other"));
  EXPECT_EQ(nlohmann::json::parse(status(pipelines_, "other").body)["name"], "other");
  pipelines_.remove(other);
  pipelines_.remove(shop_);
  EXPECT_EQ(nlohmann::json::parse(status(pipelines_, "").body)["error_code"], 503);
}

TEST_F(EndpointsTest, MetricsTellEachSinkOfEachPipeline) {
  shop_.status_.source.changes = 12;
  shop_.status_.sinks.push_back(
      {.name = "warehouse \"a\\b\"\n", .kind = "duckdb", .display = "x", .state = "retrying"});
  shop_.status_.sinks.back().counters = {.received = 7, .applied = 4, .filtered = 1, .dead_lettered = 2};
  shop_.status_.problems.push_back({"TR615", "2 rows are dead letters", ""});
  pipeline::SinkCounts counts;
  counts.errors["target"] = 3;
  counts.tables["public.t"].updates = 9;
  counts.outcomes["public.t"].set(1, sinks::Outcome::kDeadLettered, 2);
  for (const double lag : {0.05, 0.02, 700.0}) counts.lag.observe(lag);
  shop_.counts_.push_back(counts);
  pipelines_.count_reload(false);
  const Answer answer = metrics(pipelines_);
  EXPECT_EQ(answer.type, "text/plain; version=0.0.4; charset=utf-8");
  for (const char* line : {
           "# TYPE tailrace_changes_total counter\n",
           "\ntailrace_source_changes_total{pipeline=\"shop\"} 12\n",
           "\ntailrace_changes_total{pipeline=\"shop\",sink=\"warehouse "
           "\\\"a\\\\b\\\"\\n\",table=\"public.t\",op=\"update\","
           "outcome=\"dead_lettered\"} 2\n",
           "sink=\"warehouse \\\"a\\\\b\\\"\\n\",state=\"retrying\"} 1\n",
           "sink=\"warehouse \\\"a\\\\b\\\"\\n\",state=\"streaming\"} 0\n",
           "category=\"target\"} 3\n",
           "table=\"public.t\",op=\"update\"} 9\n",
           ",le=\"0.01\"} 0\ntailrace_lag_seconds_bucket",
           ",le=\"0.025\"} 1\ntailrace_lag_seconds_bucket",
           ",le=\"0.05\"} 2\ntailrace_lag_seconds_bucket",
           ",le=\"600\"} 2\ntailrace_lag_seconds_bucket",
           ",le=\"+Inf\"} 3\ntailrace_lag_seconds_sum",
           "\ntailrace_problems{pipeline=\"shop\",code=\"TR615\"} 1\n",
           "\ntailrace_config_reloads_total{outcome=\"refused\"} 1\n",
           "\ntailrace_config_reloads_total{outcome=\"taken\"} 0\n",
       }) {
    EXPECT_THAT(answer.body, HasSubstr(line));
  }
}

}  // namespace
}  // namespace tailrace::server
