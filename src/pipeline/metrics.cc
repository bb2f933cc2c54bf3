#include "pipeline/metrics.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

namespace tailrace::pipeline {
namespace {

using Json = nlohmann::ordered_json;

/// What the documents sum up over sinks.
struct Totals {
  sinks::Counters counters;
  std::uint64_t batches = 0;
  std::uint64_t changes = 0;
  std::chrono::microseconds busy{0};
  OperationCounts operations;
  std::map<std::string, std::uint64_t> errors;
  std::uint64_t invalid = 0;
  double throughput = 0;

  void add(const sinks::Counters& more, const SinkCounts& run) {
    counters.received += more.received;
    counters.applied += more.applied;
    counters.filtered += more.filtered;
    counters.dead_lettered += more.dead_lettered;
    counters.held += more.held;
    batches += run.batches;
    changes += run.changes;
    busy += run.busy;
    operations += run.operations;
    for (const auto& [category, count] : run.errors) errors[category] += count;
    invalid += run.invalid;
    throughput += run.throughput;
  }
};

double rounded(double value) { return std::round(value * 1e6) / 1e6; }

Json share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? Json(nullptr) : Json(rounded(static_cast<double>(part) / static_cast<double>(whole)));
}

Json operations_json(const OperationCounts& operations) {
  return {{"insert", operations.inserts},
          {"update", operations.updates},
          {"delete", operations.deletes},
          {"truncate", operations.truncates},
          {"message", operations.messages}};
}

Json errors_json(const std::map<std::string, std::uint64_t>& errors, std::uint64_t letters, std::uint64_t invalid) {
  const std::uint64_t validation = std::min(invalid, letters);
  Json json = {{"source", 0},
               {"parsing", 0},
               {"log", 0},
               {"state", 0},
               {"target", 0},
               {"data", letters - validation},
               {"validation", validation},
               {"defect", 0}};
  for (const auto& [category, count] : errors) json[category] = count;
  return json;
}

Json counters_json(const Totals& totals) {
  const sinks::Counters& counters = totals.counters;
  const std::uint64_t done = counters.applied + counters.filtered;
  const std::uint64_t processed = done + counters.dead_lettered + counters.held;
  return {{"consumed", counters.received},
          {"processed", processed},
          {"validated", counters.received - std::min(counters.dead_lettered, counters.received)},
          {"rejected", counters.dead_lettered},
          {"applied", counters.applied},
          {"filtered", counters.filtered},
          {"dead_lettered", counters.dead_lettered},
          {"held", counters.held},
          {"success_rate", share(done, processed)},
          {"error_rate", share(processed - done, processed)},
          {"batches", totals.batches},
          {"average_batch_size", share(totals.changes, totals.batches)},
          {"average_batch_seconds", share(static_cast<std::uint64_t>(totals.busy.count()), totals.batches * 1'000'000)},
          {"throughput", rounded(totals.throughput)},
          {"operations", operations_json(totals.operations)},
          {"errors", errors_json(totals.errors, counters.dead_lettered, totals.invalid)}};
}

/// By kind of change, only what there is.
Json outcomes_json(const sinks::OutcomeCounts& counts) {
  Json json = Json::object();
  for (std::size_t operation = 0; operation < sinks::OutcomeCounts::kOperations; ++operation)
    for (const sinks::Outcome outcome : sinks::kOutcomes)
      if (const std::int64_t changes = counts.of(operation, outcome); changes != 0)
        json[sinks::OutcomeCounts::operation_name(operation)][name_of(outcome)] = changes;
  return json;
}

Json tables_json(const SinkCounts& counts) {
  std::set<std::string> names;
  for (const auto& [table, operations] : counts.tables) names.insert(table);
  for (const auto& [table, outcomes] : counts.outcomes)
    if (outcomes != sinks::OutcomeCounts{}) names.insert(table);
  Json tables = Json::array();
  for (const std::string& name : names) {
    Json one = {{"table", name}};
    const auto operations = counts.tables.find(name);
    one.update(operations_json(operations == counts.tables.end() ? OperationCounts{} : operations->second));
    const auto found = counts.outcomes.find(name);
    const sinks::OutcomeCounts outcomes = found == counts.outcomes.end() ? sinks::OutcomeCounts{} : found->second;
    for (const sinks::Outcome outcome : sinks::kOutcomes) one[name_of(outcome)] = outcomes.total(outcome);
    one["outcomes"] = outcomes_json(outcomes);
    tables.push_back(std::move(one));
  }
  return tables;
}

Json sink_json(const SinkStatus& sink, const SinkCounts& counts, const SnapshotStatus& snapshot) {
  Totals totals;
  totals.add(sink.counters, counts);
  std::uint64_t copied = 0;
  for (const CopyStatus& table : snapshot.tables) copied += table.sink == sink.name ? table.rows : 0;
  Json json = {{"name", sink.name}, {"kind", sink.kind}, {"state", sink.state}};
  json.update(counters_json(totals));
  json["copied_rows"] = copied;
  json["dead_letters"] = sink.dead_letters;
  json["lag_seconds"] = rounded(sink.lag_seconds);
  json["tables"] = tables_json(counts);
  return json;
}

}  // namespace

Json to_json(const PipelineMetrics& metrics) {
  const PipelineStatus& status = metrics.status;
  Totals totals;
  Json sinks = Json::array();
  for (std::size_t i = 0; i < status.sinks.size(); ++i) {
    totals.add(status.sinks[i].counters, metrics.sinks[i]);
    sinks.push_back(sink_json(status.sinks[i], metrics.sinks[i], status.snapshot));
  }
  if (status.source.reconnects > 0) totals.errors["source"] += status.source.reconnects;
  const auto seconds = static_cast<double>(metrics.taken_at.micros() - metrics.since.micros()) / 1e6;
  return {{"name", status.name},
          {"state", status.state},
          {"since", metrics.since.str()},
          {"taken_at", metrics.taken_at.str()},
          {"seconds", rounded(seconds)},
          {"source",
           {{"transactions", status.source.transactions},
            {"changes", status.source.changes},
            {"bytes", status.source.bytes},
            {"reconnects", status.source.reconnects}}},
          {"totals", counters_json(totals)},
          {"sinks", std::move(sinks)}};
}

}  // namespace tailrace::pipeline
