#include "pipeline/status.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace tailrace::pipeline {
namespace {

using Json = nlohmann::ordered_json;

double rounded(double value) { return std::round(value * 1000) / 1000; }

Json sink_json(const SinkStatus& sink) {
  return {{"name", sink.name},
          {"kind", sink.kind},
          {"target", sink.display},
          {"state", sink.state},
          {"durable_lsn", sink.durable_lsn.str()},
          {"lag_bytes", sink.lag_bytes},
          {"lag_seconds", rounded(sink.lag_seconds)},
          {"rows_received", sink.counters.received},
          {"rows_applied", sink.counters.applied},
          {"rows_filtered", sink.counters.filtered},
          {"rows_held", sink.counters.held},
          {"rows_dead_lettered", sink.counters.dead_lettered},
          {"dead_letters", sink.dead_letters},
          {"rows_incomplete", sink.incomplete},
          {"rows_completed", sink.completed},
          {"batches", sink.batches},
          {"breaker", sink.breaker},
          {"last_error", sink.last_error.empty() ? Json(nullptr) : Json(sink.last_error)}};
}

Json snapshot_json(const SnapshotStatus& snapshot) {
  Json tables = Json::array();
  for (const CopyStatus& table : snapshot.tables) {
    tables.push_back({{"sink", table.sink},
                      {"table", table.table},
                      {"rows", table.rows},
                      {"percent", rounded(table.fraction * 100)},
                      {"rows_per_second", rounded(table.rows_per_second)},
                      {"seconds_left", table.seconds_left ? Json(rounded(*table.seconds_left)) : Json(nullptr)},
                      {"waits_for_server", table.waits_for_server},
                      {"done", table.done}});
  }
  return {{"tables_total", snapshot.tables_total},
          {"tables_done", snapshot.tables_done},
          {"rows", snapshot.rows},
          {"percent", rounded(snapshot.percent)},
          {"tables", std::move(tables)}};
}

}  // namespace

Json to_json(const PipelineStatus& status) {
  const sources::SourceStatus& source = status.source;
  Json sinks = Json::array();
  for (const SinkStatus& sink : status.sinks) sinks.push_back(sink_json(sink));
  Json problems = Json::array();
  for (const Problem& problem : status.problems) {
    problems.push_back({{"code", problem.code}, {"what", problem.what}, {"remedy", problem.remedy}});
  }
  return {{"name", status.name},
          {"state", status.state},
          {"source",
           {{"state", sources::name_of(source.state)},
            {"lsn", source.server_lsn.str()},
            {"received_lsn", source.received_lsn.str()},
            {"confirmed_lsn", source.confirmed_lsn.str()},
            {"lag_bytes", source.lag_bytes},
            {"lag_seconds", rounded(status.source_lag_seconds)},
            {"slot", source.slot},
            {"wal_status", source.wal_status},
            {"safe_wal_bytes", source.safe_wal_bytes ? Json(*source.safe_wal_bytes) : Json(nullptr)},
            {"slot_age", source.slot_age},
            {"snapshot_age", source.snapshot_age},
            {"server_version", source.server_version_text},
            {"transactions", source.transactions},
            {"changes", source.changes},
            {"reconnects", source.reconnects},
            {"open_spills", source.open_spills},
            {"spilled_bytes", source.spilled_bytes}}},
          {"log",
           {{"durable_lsn", status.log_durable.str()},
            {"bytes", status.log_bytes},
            {"oldest_lsn", status.log_oldest.str()}}},
          {"snapshot", snapshot_json(status.snapshot)},
          {"sinks", std::move(sinks)},
          {"problems", std::move(problems)}};
}

}  // namespace tailrace::pipeline
