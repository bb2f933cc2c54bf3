#include "server/prometheus_text.h"

#include <unistd.h>

#include <fstream>
#include <map>

#include "server/metric_families.h"

namespace tailrace::server {
namespace {

using pipeline::PipelineStatus;
using pipeline::SinkStatus;

const std::vector<std::string_view> kPipelineStates = {"snapshotting", "streaming", "failed", "stopped"};
const std::vector<std::string_view> kSinkStates = {"opening", "copying",  "streaming", "released", "lent",
                                                   "paused",  "retrying", "detached",  "failed",   "stopped"};

double number(std::uint64_t value) { return static_cast<double>(value); }

/// What of this process is in memory, without what is swapped out.
double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  statm >> all >> resident;
  return number(resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
}

void write_process(MetricFamilies& out, const ReloadCounts& reloads) {
  out.gauge("tailrace_build_info", "Version of the program.", {{"version", TAILRACE_VERSION}}, 1);
  out.gauge("tailrace_memory_bytes", "Resident memory of the process.", {}, resident_bytes());
  constexpr const char* kReloads = "tailrace_config_reloads_total";
  constexpr const char* kHelp = "Configurations that were read again.";
  out.counter(kReloads, kHelp, {{"outcome", "taken"}}, number(reloads.reloads));
  out.counter(kReloads, kHelp, {{"outcome", "refused"}}, number(reloads.refused));
}

void write_source(MetricFamilies& out, const PipelineStatus& status) {
  const sources::SourceStatus& source = status.source;
  const Labels one = {{"pipeline", status.name}};
  out.gauge("tailrace_source_connected", "1 while changes are received.", one,
            source.state == sources::SourceState::kStreaming ? 1 : 0);
  out.counter("tailrace_source_changes_total", "Changes received since the start.", one, number(source.changes));
  out.counter("tailrace_source_transactions_total", "Transactions received since the start.", one,
              number(source.transactions));
  out.counter("tailrace_source_received_bytes_total", "Bytes received since the start.", one, number(source.bytes));
  out.counter("tailrace_source_reconnects_total", "Connections made anew since the start.", one,
              number(source.reconnects));
  out.gauge("tailrace_source_server_lsn", "End of the server's WAL as last heard of, as a number.", one,
            number(source.server_lsn.value()));
  out.gauge("tailrace_source_confirmed_lsn", "What the server was told to be durable here, as a number.", one,
            number(source.confirmed_lsn.value()));
  out.gauge("tailrace_source_lag_seconds", "Age of what the source has and the log has not.", one,
            status.source_lag_seconds);
  out.gauge("tailrace_slot_retained_bytes", "WAL that the server keeps for the slot.", one, number(source.lag_bytes));
  if (source.safe_wal_bytes) {
    out.gauge("tailrace_slot_safe_bytes", "WAL that may still be written before the slot is in danger.", one,
              static_cast<double>(*source.safe_wal_bytes));
  }
  out.gauge("tailrace_slot_age_transactions", "How far the slot holds back the server's clean-up.", one,
            static_cast<double>(source.slot_age));
  out.gauge("tailrace_snapshot_age_transactions", "How far copies and comparisons hold back the server's clean-up.",
            one, static_cast<double>(source.snapshot_age));
  out.gauge("tailrace_spilled_transactions", "Transactions in progress that are received already.", one,
            number(source.open_spills));
  out.gauge("tailrace_spilled_bytes", "What these transactions hold.", one, number(source.spilled_bytes));
}

void write_copies(MetricFamilies& out, const PipelineStatus& status) {
  for (const pipeline::CopyStatus& table : status.snapshot.tables) {
    const Labels labels = {{"pipeline", status.name}, {"sink", table.sink}, {"table", table.table}};
    out.gauge("tailrace_snapshot_completed_ratio", "Share of a table that is copied, since the start.", labels,
              table.fraction);
    out.gauge("tailrace_snapshot_rows", "Rows of a table that are copied, since the start.", labels,
              number(table.rows));
  }
}

void write_sink(MetricFamilies& out, const std::string& pipeline, const SinkStatus& sink) {
  const Labels one = {{"pipeline", pipeline}, {"sink", sink.name}};
  out.state("tailrace_sink_state", "1 for what the sink does now.", one, kSinkStates, sink.state);
  out.counter("tailrace_changes_received_total", "Changes a sink received since its target was made.", one,
              number(sink.counters.received));
  out.gauge("tailrace_dead_letters", "Dead letters that are kept.", one, number(sink.dead_letters));
  out.gauge("tailrace_incomplete_rows", "Rows that lack a value which was never sent.", one, number(sink.incomplete));
  out.gauge("tailrace_sink_lag_seconds", "Age of what the log has and the target has not.", one, sink.lag_seconds);
  out.gauge("tailrace_sink_lag_bytes", "WAL between the log's end and the target.", one, number(sink.lag_bytes));
  out.gauge("tailrace_sink_durable_lsn", "What is durable in the target, as a number.", one,
            number(sink.durable_lsn.value()));
}

void write_outcomes(MetricFamilies& out, const Labels& sink, const std::string& table,
                    const sinks::OutcomeCounts& counts) {
  for (std::size_t operation = 0; operation < sinks::OutcomeCounts::kOperations; ++operation) {
    for (const sinks::Outcome outcome : sinks::kOutcomes) {
      const std::int64_t changes = counts.of(operation, outcome);
      if (changes == 0) continue;
      Labels labels = sink;
      labels.emplace_back("table", table);
      labels.emplace_back("op", sinks::OutcomeCounts::operation_name(operation));
      labels.emplace_back("outcome", name_of(outcome));
      out.counter("tailrace_changes_total", "What became of the changes a sink received since its target was made.",
                  labels, static_cast<double>(changes));
    }
  }
}

void write_operations(MetricFamilies& out, const Labels& sink, const std::string& table,
                      const pipeline::OperationCounts& operations) {
  const std::pair<const char*, std::uint64_t> kinds[] = {{"insert", operations.inserts},
                                                         {"update", operations.updates},
                                                         {"delete", operations.deletes},
                                                         {"truncate", operations.truncates}};
  for (const auto& [kind, changes] : kinds) {
    Labels labels = sink;
    labels.emplace_back("table", table);
    labels.emplace_back("op", kind);
    out.counter("tailrace_operations_total", "Changes of a table that a sink has made durable, or decided on.", labels,
                number(changes));
  }
}

void write_counts(MetricFamilies& out, const Labels& sink, const pipeline::SinkCounts& counts) {
  out.counter("tailrace_batches_total", "Batches with changes made durable.", sink, number(counts.batches));
  out.counter("tailrace_batch_changes_total", "Changes in these batches.", sink, number(counts.changes));
  out.counter("tailrace_batch_seconds_total", "Time that applying and flushing them took.", sink,
              std::chrono::duration<double>(counts.busy).count());
  out.histogram("tailrace_lag_seconds", "From the commit at the source until it is durable and visible, per batch.",
                sink, pipeline::LagHistogram::kBounds, counts.lag.counts, counts.lag.total, counts.lag.seconds);
  for (const auto& [category, errors] : counts.errors) {
    Labels labels = sink;
    labels.emplace_back("category", category);
    out.counter("tailrace_errors_total", "Attempts that failed, by where the error arose.", labels, number(errors));
  }
  for (const auto& [table, outcomes] : counts.outcomes) write_outcomes(out, sink, table, outcomes);
  for (const auto& [table, operations] : counts.tables) write_operations(out, sink, table, operations);
}

void write_pipeline(MetricFamilies& out, const pipeline::PipelineMetrics& metrics) {
  const PipelineStatus& status = metrics.status;
  const Labels one = {{"pipeline", status.name}};
  out.state("tailrace_pipeline_state", "1 for what the pipeline does now.", one, kPipelineStates, status.state);
  write_source(out, status);
  out.gauge("tailrace_journal_bytes", "Size of the log on disk.", one, number(status.log_bytes));
  out.gauge("tailrace_journal_durable_lsn", "What is durable in the log, as a number.", one,
            number(status.log_durable.value()));
  write_copies(out, status);
  for (std::size_t i = 0; i < status.sinks.size(); ++i) {
    write_sink(out, status.name, status.sinks[i]);
    write_counts(out, {{"pipeline", status.name}, {"sink", status.sinks[i].name}}, metrics.sinks[i]);
  }
  std::map<std::string, std::uint64_t> problems;
  for (const pipeline::Problem& problem : status.problems) ++problems[problem.code];
  for (const auto& [code, count] : problems) {
    Labels labels = one;
    labels.emplace_back("code", code);
    out.gauge("tailrace_problems", "Problems that the status names, by their code.", labels, number(count));
  }
}

}  // namespace

std::string prometheus_text(const std::vector<pipeline::PipelineMetrics>& pipelines, const ReloadCounts& reloads) {
  MetricFamilies out;
  write_process(out, reloads);
  for (const pipeline::PipelineMetrics& metrics : pipelines) write_pipeline(out, metrics);
  return out.text();
}

}  // namespace tailrace::server
