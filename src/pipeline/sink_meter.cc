#include "pipeline/sink_meter.h"

#include <algorithm>

namespace tailrace::pipeline {
namespace {

std::chrono::microseconds micros(SteadyClock::duration time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time);
}

}  // namespace

void OperationCounts::add(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kInsert: ++inserts; break;
    case ChangeKind::kUpdate: ++updates; break;
    case ChangeKind::kDelete: ++deletes; break;
    case ChangeKind::kTruncate: ++truncates; break;
    case ChangeKind::kMessage: ++messages; break;
    case ChangeKind::kDescription: break;
  }
}

OperationCounts& OperationCounts::operator+=(const OperationCounts& other) {
  inserts += other.inserts;
  updates += other.updates;
  deletes += other.deletes;
  truncates += other.truncates;
  messages += other.messages;
  return *this;
}

void LagHistogram::observe(double lag) {
  const auto* const bound = std::ranges::lower_bound(kBounds, lag);
  if (bound != kBounds.end()) ++counts[static_cast<std::size_t>(bound - kBounds.begin())];
  ++total;
  seconds += lag;
}

const char* category_of(const std::string& code) {
  switch (code.size() == 5 ? code[2] : '9') {
    case '1': return "source";
    case '2': return "configuration";
    case '3': return "parsing";
    case '4': return "log";
    case '5': return "state";
    case '6': return "target";
    case '7': return "comparison";
    default: return "defect";
  }
}

std::int64_t SinkMeter::second_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(SteadyClock::now().time_since_epoch()).count();
}

void SinkMeter::applied(const ChangeBatch& batch, SteadyClock::duration took) {
  open_changes_ += batch.changes.size();
  open_busy_ += micros(took);
  std::map<const Relation*, OperationCounts> tables;
  const Relation* last = nullptr;
  OperationCounts* counts = nullptr;
  for (const Change& change : batch.changes) {
    open_operations_.add(change.kind);
    if (change.relation == nullptr) continue;
    if (change.relation != last) {
      last = change.relation;
      counts = &tables[last];
    }
    counts->add(change.kind);
  }
  for (const auto& [relation, operations] : tables) {
    if (operations != OperationCounts{}) open_tables_[relation->display_name()] += operations;
  }
}

void SinkMeter::flushed(SteadyClock::duration took, PgTime commit_time) {
  if (open_changes_ > 0) {
    const std::lock_guard lock(mutex_);
    ++counts_.batches;
    counts_.changes += open_changes_;
    counts_.busy += open_busy_ + micros(took);
    counts_.operations += open_operations_;
    for (const auto& [table, operations] : open_tables_) counts_.tables[table] += operations;
    // The server's clock may be ahead of this one.
    counts_.lag.observe(std::max(0.0, static_cast<double>(PgTime::now().micros() - commit_time.micros()) / 1e6));
    const std::int64_t now = second_now();
    Second& second = seconds_[static_cast<std::size_t>(now) % kSeconds];
    if (second.number != now) second = {now, 0};
    second.changes += open_changes_;
  }
  rolled_back();
}

void SinkMeter::rolled_back() {
  open_changes_ = 0;
  open_busy_ = {};
  open_tables_.clear();
  open_operations_ = {};
}

void SinkMeter::failed(const std::string& code) {
  const std::lock_guard lock(mutex_);
  ++counts_.errors[category_of(code)];
}

void SinkMeter::found_invalid(std::uint64_t changes) {
  const std::lock_guard lock(mutex_);
  counts_.invalid += changes;
}

SinkCounts SinkMeter::look() const {
  const std::lock_guard lock(mutex_);
  SinkCounts counts = counts_;
  const std::int64_t now = second_now();
  const std::int64_t from = std::max(now - static_cast<std::int64_t>(kSeconds) + 1, first_second_);
  std::uint64_t changes = 0;
  for (const Second& second : seconds_) {
    if (second.number >= from && second.number < now) changes += second.changes;
  }
  counts.throughput = static_cast<double>(changes) / static_cast<double>(std::max<std::int64_t>(1, now - from));
  return counts;
}

}  // namespace tailrace::pipeline
