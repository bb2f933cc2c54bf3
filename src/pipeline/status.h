#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/lsn.h"
#include "sinks/sink.h"
#include "sources/source.h"

namespace tailrace::pipeline {

/// One look at a sink.
struct SinkStatus {
  std::string name;
  std::string kind;
  std::string display;
  /// "opening", "copying", "streaming", "released", "lent", "paused", "retrying", "failed", "stopped".
  std::string state = {};
  /// Everything up to here is durable and visible in the target, as far as it concerns it.
  Lsn durable_lsn = {};
  std::uint64_t lag_bytes = 0;
  double lag_seconds = 0;
  sinks::Counters counters = {};
  std::uint64_t dead_letters = 0;
  /// Rows that lack a value which was never sent, and those that were completed from the source since the start.
  std::uint64_t incomplete = 0;
  std::uint64_t completed = 0;
  std::string last_error = {};
  std::uint64_t batches = 0;
  /// "closed", "open" or "half_open": whether the target is tried, left alone, or tried once (CircuitBreaker).
  std::string breaker = "closed";
};

/// How far the copy of one table into one sink is.
struct CopyStatus {
  std::string sink;
  std::string table;
  std::uint64_t rows = 0;
  /// Of the statistics; 0 = unknown.
  double estimated_rows = 0;
  double fraction = 0;
  bool done = false;
  /// Rows a second since it began, and what is left at that pace; unknown at the very beginning.
  double rows_per_second = 0;
  std::optional<double> seconds_left = {};
  /// It nearly stands still at the moment, since the server has much to do.
  bool waits_for_server = false;
};

/// All tables that are copied, or were since the start.
struct SnapshotStatus {
  std::uint64_t tables_total = 0;
  std::uint64_t tables_done = 0;
  std::uint64_t rows = 0;
  double percent = 0;
  std::vector<CopyStatus> tables;
};

/// What a user should know of, and what mends it.
struct Problem {
  std::string code;
  std::string what;
  std::string remedy;
};

/// One look at a pipeline. A value.
struct PipelineStatus {
  std::string name;
  /// "snapshotting", "streaming", "failed", "stopped".
  std::string state;
  sources::SourceStatus source;
  double source_lag_seconds = 0;
  Lsn log_durable;
  Lsn log_oldest;
  std::uint64_t log_bytes = 0;
  SnapshotStatus snapshot;
  std::vector<SinkStatus> sinks;
  std::vector<Problem> problems;
};

/// The document of `status --json`.
nlohmann::ordered_json to_json(const PipelineStatus& status);

}  // namespace tailrace::pipeline
