#include "pipeline/verification.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/tuple.h"

namespace tailrace::pipeline {
namespace {

using Json = nlohmann::ordered_json;

/// How long the target may take to come to a fence.
constexpr std::chrono::seconds kPassLimit{60};

class PipelineFollower final : public parity::Follower {
 public:
  PipelineFollower(Pipeline& pipeline, std::string sink, std::stop_token stop)
      : pipeline_(pipeline), sink_(std::move(sink)), stop_(std::move(stop)) {}

  void pass(Lsn lsn) override {
    // The stream passes a place that nothing of ours stands behind only once something comes.
    pipeline_.request_source_end();
    pipeline_.wait({lsn, sink_, kPassLimit, Pipeline::WaitOrder::Until::kReached}, stop_);
  }
  Cursor log_end() override { return pipeline_.log().stat().durable; }
  std::unique_ptr<journal::Reader> log_from(const Cursor& cursor) override { return pipeline_.log().reader(cursor); }
  std::uint64_t mend(const RelationPtr& relation, Lsn fence,
                     std::function<std::vector<sinks::ExpectedRow>(const Position&)> rows_at) override {
    pass(fence);
    return pipeline_.mend(sink_, {relation, std::move(rows_at)}, kPassLimit);
  }
  bool has_letters(const std::string& schema, const std::string& table) override {
    return pipeline_.catalog().has_letters(sink_, schema, table);
  }

 private:
  Pipeline& pipeline_;
  const std::string sink_;
  const std::stop_token stop_;
};

/// How long a comparison waits for a target that is lent.
constexpr std::chrono::seconds kLentPatience{60};

class VisitingLook final : public sinks::Look {
 public:
  VisitingLook(TargetVisit visit, sinks::Comparison& target) : visit_(std::move(visit)), look_(target.look()) {}
  Position position() const override { return look_->position(); }
  const std::vector<sinks::ComparedTable>& tables() const override { return look_->tables(); }
  BucketDigests digest(const Relation& relation, const KeyRange& range) override {
    return look_->digest(relation, range);
  }
  std::vector<RowHash> list(const Relation& relation, const KeyRange& range,
                            const std::vector<std::size_t>& buckets) override {
    return look_->list(relation, range, buckets);
  }
  std::vector<sinks::Verdict> judge(const Relation& relation, const std::vector<sinks::ExpectedRow>& rows) override {
    return look_->judge(relation, rows);
  }

 private:
  TargetVisit visit_;  // ends after the look
  std::unique_ptr<sinks::Look> look_;
};

/// Looks at a sink's target only while it is not lent.
class VisitingComparison final : public sinks::Comparison {
 public:
  VisitingComparison(Pipeline& pipeline, const SinkSetup& sink, std::stop_token stop)
      : pipeline_(pipeline), sink_(sink.name), target_(sink.compare()), stop_(std::move(stop)) {}
  std::unique_ptr<sinks::Look> look() override {
    return std::make_unique<VisitingLook>(pipeline_.visit(sink_, kLentPatience, stop_), *target_);
  }

 private:
  Pipeline& pipeline_;
  const std::string sink_;
  const std::unique_ptr<sinks::Comparison> target_;
  const std::stop_token stop_;
};

const SinkSetup& comparable_sink(const PipelineSpec& spec, const std::string& name) {
  for (const SinkSetup& sink : spec.sinks)
    if (sink.compare && (name.empty() || sink.name == name)) return sink;
  throw BadConfigError("TR513",
                       fmt::format("{} has no target that can be compared{}", spec.name,
                                   name.empty() ? "" : fmt::format(" named `{}`", name)),
                       "look at `tailrace status`");
}

const char* word_for(parity::TableReport::State state) {
  switch (state) {
    case parity::TableReport::State::kEqual: return "equal";
    case parity::TableReport::State::kDiffers: return "differs";
    case parity::TableReport::State::kUndecided: return "undecided";
    case parity::TableReport::State::kSkipped: return "skipped";
  }
  return "undecided";
}

const char* word_for(sinks::Verdict verdict) {
  switch (verdict) {
    case sinks::Verdict::kMissing: return "missing";
    case sinks::Verdict::kExtra: return "extra";
    case sinks::Verdict::kStale: return "stale";
    case sinks::Verdict::kEqual:
    case sinks::Verdict::kExcused: break;
  }
  return "equal";
}

Json key_json(const Relation& relation, const std::string& tuple) {
  Json key = Json::object();
  auto fields = TupleView(tuple).begin();
  for (const std::size_t column : relation.match_key()) key[relation.columns[column].name] = fields.next().bytes;
  return key;
}

}  // namespace

Verification verify(Pipeline& pipeline, const std::string& sink, const parity::VerifyOptions& options,
                    const std::function<void(const parity::TableReport&)>& done, std::stop_token stop) {
  const SinkSetup& setup = comparable_sink(pipeline.spec(), sink);
  if (!pipeline.spec().source.compare)
    throw BadConfigError("TR513", "this source cannot be compared", "look at `tailrace status`");
  const auto source = pipeline.spec().source.compare(stop);
  VisitingComparison target(pipeline, setup, stop);
  PipelineFollower follower(pipeline, setup.name, stop);
  parity::Verifier verifier(*source, target, follower, options, stop);
  Verification found;
  found.sink = setup.name;
  found.tables = verifier.run(done);
  found.fence = verifier.fence();
  return found;
}

Json to_json(const parity::TableReport& report) {
  Json keys = Json::array();
  for (const parity::Difference& difference : report.differences)
    keys.push_back({{"what", word_for(difference.verdict)}, {"key", key_json(*report.relation, difference.key)}});
  const auto count = [&](sinks::Verdict verdict) {
    return std::ranges::count_if(report.differences, [=](const auto& one) { return one.verdict == verdict; });
  };
  return {{"table", report.relation->display_name()},
          {"state", word_for(report.state)},
          {"reason", report.reason.empty() ? Json(nullptr) : Json(report.reason)},
          {"rows", report.rows},
          {"ranges", report.ranges},
          {"suspects", report.suspects},
          {"differing", report.differences.size() + report.keyless_differences},
          {"missing", count(sinks::Verdict::kMissing)},
          {"extra", count(sinks::Verdict::kExtra)},
          {"stale", count(sinks::Verdict::kStale)},
          {"undecided", report.undecided},
          {"repaired", report.repaired},
          {"keys", std::move(keys)}};
}

}  // namespace tailrace::pipeline
