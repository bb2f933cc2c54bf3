#include "pipeline/continuous_verification.h"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "base/crash_point.h"
#include "base/log.h"
#include "pipeline/verification.h"

namespace tailrace::pipeline {
namespace {

constexpr std::uint64_t kRowsPerSecond = 10'000;
constexpr std::uint64_t kRangeRows = 50'000;
constexpr std::uint64_t kPauseMs = 60'000;

void sleep(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, time, [] { return false; });
}

}  // namespace

ContinuousVerification::ContinuousVerification(Pipeline& pipeline) : pipeline_(pipeline) {
  if (pipeline_.spec().verify != VerifyMode::kContinuous || !pipeline_.spec().source.compare) return;
  thread_ = std::jthread([this](std::stop_token stop) { run(std::move(stop)); });
}

void ContinuousVerification::run(std::stop_token stop) {
  std::map<std::string, Differences> differences;
  while (!stop.stop_requested()) {
    sleep(std::chrono::milliseconds(bound_or_tested("VERIFY_PAUSE_MS", kPauseMs)), stop);
    if (stop.stop_requested() || !pipeline_.prepared()) continue;
    for (const SinkSetup& sink : pipeline_.spec().sinks)
      if (sink.compare) compare(sink.name, differences[sink.name], stop);
  }
}

void ContinuousVerification::compare(const std::string& sink, Differences& differences, std::stop_token stop) {
  parity::VerifyOptions options;
  options.range_rows = kRangeRows;
  options.rows_per_second = kRowsPerSecond;
  std::uint64_t rows = 0;
  const auto take = [&](const parity::TableReport& report) {
    rows += report.rows;
    const std::string table = report.relation->display_name();
    differences.erase(table);
    if (report.state == parity::TableReport::State::kDiffers)
      differences[table] = {"TR700",
                            fmt::format("{}: {} rows of {} differ from the source", sink,
                                        report.differences.size() + report.keyless_differences, table),
                            "`tailrace verify --repair` mends only those"};
    std::vector<Problem> problems;
    for (const auto& [name, problem] : differences) problems.push_back(problem);
    pipeline_.note_differences(sink, std::move(problems));
  };
  try {
    verify(pipeline_, sink, options, take, stop);
    log::info("verify.round", "{}: {} rows compared; {} tables differ", sink, rows, differences.size());
  } catch (const Error& error) {
    // Source or target are busy or away, which their own states tell: the next round begins anew.
    if (!stop.stop_requested()) log::info("verify.retry", "{}: {} [{}]", sink, error.what(), error.code());
  } catch (const std::exception& error) {
    log::warn("verify.failed", "{}: {}", sink, error.what());
  }
}

}  // namespace tailrace::pipeline
