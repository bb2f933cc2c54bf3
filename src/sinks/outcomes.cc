#include "sinks/outcomes.h"

namespace tailrace::sinks {

const char* name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kApplied: return "applied";
    case Outcome::kFiltered: return "filtered";
    case Outcome::kDeadLettered: return "dead_lettered";
    case Outcome::kHeld: return "held";
  }
  return "";
}

std::uint64_t& count_of(Counters& counters, Outcome outcome) {
  switch (outcome) {
    case Outcome::kFiltered: return counters.filtered;
    case Outcome::kDeadLettered: return counters.dead_lettered;
    case Outcome::kHeld: return counters.held;
    case Outcome::kApplied: break;
  }
  return counters.applied;
}

std::uint64_t count_of(const Counters& counters, Outcome outcome) {
  Counters copy = counters;
  return count_of(copy, outcome);
}

const char* OutcomeCounts::operation_name(std::size_t operation) {
  return operation == kUnknown ? "unknown" : tailrace::name_of(static_cast<ChangeKind>(operation));
}

void OutcomeCounts::move(ChangeKind kind, Outcome from, Outcome to) {
  const auto source = static_cast<std::size_t>(from);
  auto operation = static_cast<std::size_t>(kind);
  for (std::size_t other = 0; counts_[operation][source] <= 0 && other < kOperations; ++other)
    if (counts_[other][source] > 0) operation = other;
  --counts_[operation][source];
  ++counts_[operation][static_cast<std::size_t>(to)];
}

std::int64_t OutcomeCounts::total(Outcome outcome) const {
  std::int64_t sum = 0;
  for (const auto& operation : counts_) sum += operation[static_cast<std::size_t>(outcome)];
  return sum;
}

OutcomeCounts& OutcomeCounts::operator+=(const OutcomeCounts& other) {
  for (std::size_t operation = 0; operation < kOperations; ++operation)
    for (std::size_t outcome = 0; outcome < kOutcomes.size(); ++outcome)
      counts_[operation][outcome] += other.counts_[operation][outcome];
  return *this;
}

OutcomeCounts& OutcomeCounts::operator-=(const OutcomeCounts& other) {
  for (std::size_t operation = 0; operation < kOperations; ++operation)
    for (std::size_t outcome = 0; outcome < kOutcomes.size(); ++outcome)
      counts_[operation][outcome] -= other.counts_[operation][outcome];
  return *this;
}

void Outcomes::open(TableOutcomes kept, const Counters& totals) {
  all_ = std::move(kept);
  before_.clear();
  OutcomeCounts earlier;
  for (const Outcome outcome : kOutcomes) {
    auto missing = static_cast<std::int64_t>(count_of(totals, outcome));
    for (const auto& [table, counts] : all_) missing -= counts.total(outcome);
    earlier.set(OutcomeCounts::kUnknown, outcome, missing);
  }
  if (earlier != OutcomeCounts{}) of("") += earlier;
  settled_ = all_;
}

OutcomeCounts& Outcomes::of(const std::string& table) {
  OutcomeCounts& counts = all_[table];
  before_.try_emplace(table, counts);
  return counts;
}

void Outcomes::settle() {
  for (const auto& [table, counts] : before_) settled_[table] = all_.at(table);
  before_.clear();
}

}  // namespace tailrace::sinks
