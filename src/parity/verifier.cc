#include "parity/verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/error.h"

namespace tailrace::parity {
namespace {

using std::chrono::milliseconds;
using State = TableReport::State;

/// Keys of one fenced read.
constexpr std::size_t kLot = 500;
/// More suspects of one range are not looked at: the table is then plainly another one.
constexpr std::size_t kMostSuspects = 100'000;
constexpr int kKeylessTries = 10;
constexpr milliseconds kSettleStep{100};

std::vector<std::size_t> differing(const BucketDigests& there, const BucketDigests& here) {
  std::vector<std::size_t> buckets;
  for (std::size_t n = 0; n < kBuckets; ++n)
    if (there[n] != here[n]) buckets.push_back(n);
  return buckets;
}

std::uint64_t row_count(const BucketDigests& buckets) {
  std::uint64_t rows = 0;
  for (const BucketDigest& bucket : buckets) rows += bucket.rows;
  return rows;
}

bool has_columns_of(const Relation& a, const Relation& b) {
  return std::ranges::equal(a.columns, b.columns, [](const Column& x, const Column& y) {
    return x.name == y.name && x.attnum == y.attnum && x.type.declared == y.type.declared;
  });
}

/// Calls `use` with lots of the keys.
template <typename Use>
void in_lots(const std::vector<std::string>& keys, Use use) {
  for (std::size_t from = 0; from < keys.size(); from += kLot) {
    const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(from);
    use(std::vector<std::string>(begin, begin + static_cast<std::ptrdiff_t>(std::min(kLot, keys.size() - from))));
  }
}

}  // namespace

void Verifier::check_stop() const {
  if (stop_.stop_requested()) throw RetryError("TR703", "the comparison was stopped", "start it again");
}

void Verifier::rest(std::uint64_t rows, SteadyClock::time_point since) const {
  if (options_.rows_per_second == 0) return;
  const auto due = since + std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(
                               static_cast<double>(rows) / static_cast<double>(options_.rows_per_second)));
  while (SteadyClock::now() < due) {
    check_stop();
    std::this_thread::sleep_for(std::min<SteadyClock::duration>(due - SteadyClock::now(), milliseconds(100)));
  }
}

std::vector<TableReport> Verifier::run(const std::function<void(const TableReport&)>& done) {
  const TablePatterns wanted(options_.tables);
  std::vector<TableReport> reports;
  for (const sources::TableToCompare& table : source_.tables()) {
    if (!wanted.match(table.relation->schema, table.relation->name)) continue;
    reports.push_back(compare(table));
    done(reports.back());
  }
  return reports;
}

std::string Verifier::obstacle_of(const Relation& relation) {
  const auto look = target_.look();
  for (const sinks::ComparedTable& there : look->tables()) {
    if (there.relation->oid != relation.oid) continue;
    if (there.obstacle.empty() && !has_columns_of(*there.relation, relation))
      return "its columns changed, and the target has not seen that yet";
    return there.obstacle;
  }
  return "it is not in the target";
}

TableReport Verifier::compare(const sources::TableToCompare& table) {
  TableReport report;
  report.relation = table.relation;
  report.reason = obstacle_of(*table.relation);
  if (!report.reason.empty()) {
    report.state = State::kSkipped;
    return report;
  }
  try {
    if (table.relation->match_key().empty()) {
      compare_keyless(table, report);
    } else {
      compare_ranges(table, report);
    }
    if (options_.repair && !report.differences.empty()) repair(table, report);
  } catch (const RetryError& error) {
    if (error.code() != "TR121" && error.code() != "TR705") throw;
    report.state = State::kUndecided;
    report.reason = error.what();
  }
  if (!report.differences.empty() || report.keyless_differences > 0) report.state = State::kDiffers;
  return report;
}

void Verifier::compare_ranges(const sources::TableToCompare& table, TableReport& report) {
  KeyRange range;
  while (true) {
    range.up_to.reset();
    if (has_integer_key(*table.relation)) range.up_to = source_.range_end(table, range.above, options_.range_rows);
    const auto began = SteadyClock::now();
    const std::uint64_t before = report.rows;
    compare_range(table, range, report);
    ++report.ranges;
    if (!range.up_to) return;
    range.above = range.up_to;
    rest(report.rows - before, began);
  }
}

std::unique_ptr<sinks::Look> Verifier::look_behind(Lsn fence) {
  check_stop();
  fence_ = std::max(fence_, fence);
  follower_.pass(fence);
  return target_.look();
}

void Verifier::compare_range(const sources::TableToCompare& table, const KeyRange& range, TableReport& report) {
  const sources::FencedDigests there = source_.digest(table, range);
  report.rows += row_count(there.buckets);
  const BucketDigests here = look_behind(there.fence.end)->digest(*table.relation, range);
  const std::vector<std::size_t> buckets = differing(there.buckets, here);
  if (buckets.empty()) return;
  std::vector<std::string> suspects = find_suspects(table, range, buckets);
  report.suspects += suspects.size();
  if (suspects.size() > kMostSuspects) suspects.resize(kMostSuspects);
  judge(table, suspects, report);
}

std::vector<std::string> Verifier::find_suspects(const sources::TableToCompare& table, const KeyRange& range,
                                                 const std::vector<std::size_t>& buckets) {
  const sources::FencedHashes there = source_.list(table, range, buckets);
  const std::vector<RowHash> here = look_behind(there.fence.end)->list(*table.relation, range, buckets);
  std::unordered_map<std::string, std::uint64_t> unmatched;
  unmatched.reserve(there.rows.size());
  for (const RowHash& row : there.rows) unmatched.emplace(row.key, row.hash);
  std::vector<std::string> suspects;
  for (const RowHash& row : here) {
    const auto found = unmatched.find(row.key);
    // A row that stands there twice is unmatched the second time.
    if (found == unmatched.end() || found->second != row.hash) suspects.push_back(row.key);
    if (found != unmatched.end()) unmatched.erase(found);
  }
  for (const auto& [key, hash] : unmatched) suspects.push_back(key);
  std::ranges::sort(suspects);
  suspects.erase(std::ranges::unique(suspects).begin(), suspects.end());
  return suspects;
}

Verifier::Start Verifier::start() {
  Start start;
  start.cursor = follower_.log_end();
  start.unsettled = source_.running();
  return start;
}

bool Verifier::settled(Start& start, const SnapshotXids& snapshot) {
  std::erase_if(start.unsettled, [&](Xid xid) { return snapshot.contains(xid); });
  return start.unsettled.empty();
}

void Verifier::judge(const sources::TableToCompare& table, const std::vector<std::string>& suspects,
                     TableReport& report) {
  in_lots(suspects, [&](const std::vector<std::string>& lot) { judge_lot(table, lot, report); });
}

std::pair<Verifier::Start, FencedRows> Verifier::read_settled(const sources::TableToCompare& table,
                                                              const std::vector<std::string>& keys) {
  Start start = this->start();
  const auto deadline = SteadyClock::now() + options_.patience;
  FencedRows read = source_.read(table, keys);
  while (!settled(start, read.fence.snapshot) && SteadyClock::now() < deadline) {
    check_stop();
    std::this_thread::sleep_for(kSettleStep);
    read = source_.read(table, keys);
  }
  return {std::move(start), std::move(read)};
}

void Verifier::repair(const sources::TableToCompare& table, TableReport& report) {
  std::vector<std::string> keys;
  for (const Difference& difference : std::exchange(report.differences, {})) keys.push_back(difference.key);
  in_lots(keys, [&](const std::vector<std::string>& lot) { repair_lot(table, lot, report); });
  judge(table, keys, report);
}

void Verifier::repair_lot(const sources::TableToCompare& table, const std::vector<std::string>& keys,
                          TableReport& report) {
  const std::pair<Start, FencedRows> settled = read_settled(table, keys);
  const Start& start = settled.first;
  const FencedRows& read = settled.second;
  if (!start.unsettled.empty()) return;
  report.repaired += follower_.mend(table.relation, read.fence.end, [&](const Position& at) {
    Expectation expectation(keys, read);
    fold(expectation, start.cursor, at);
    return expectation.known();
  });
}

void Verifier::judge_lot(const sources::TableToCompare& table, const std::vector<std::string>& keys,
                         TableReport& report) {
  const std::pair<Start, FencedRows> settled = read_settled(table, keys);
  const Start& start = settled.first;
  const FencedRows& read = settled.second;
  const auto look = look_behind(read.fence.end);
  Expectation expectation(keys, read);
  fold(expectation, start.cursor, look->position());
  const std::vector<sinks::ExpectedRow> known = expectation.known();
  const std::vector<sinks::Verdict> verdicts = look->judge(*table.relation, known);
  std::uint64_t undecided = expectation.unknown();
  for (std::size_t n = 0; n < known.size(); ++n) {
    if (verdicts[n] == sinks::Verdict::kEqual || verdicts[n] == sinks::Verdict::kExcused) continue;
    if (start.unsettled.empty()) {
      report.differences.push_back({verdicts[n], known[n].key});
    } else {
      ++undecided;
    }
  }
  if (undecided == 0) return;
  report.undecided += undecided;
  report.state = State::kUndecided;
  report.reason = start.unsettled.empty() ? "rows changed in a way that the log does not tell"
                                          : "transactions of the source that ran before have not ended";
}

void Verifier::fold(Expectation& expectation, const Cursor& from, const Position& until) {
  if (from.position.epoch != until.epoch)
    throw RetryError("TR705", "changes that came since it was read are missing from the log", "compare again");
  const auto reader = follower_.log_from(from);
  while (const ChangeBatchPtr batch = reader->next({}, stop_, milliseconds(0))) {
    expectation.apply(*batch, until);
    if (batch->end.position >= until) return;
  }
}

void Verifier::compare_keyless(const sources::TableToCompare& table, TableReport& report) {
  for (int tries = 0; tries < kKeylessTries; ++tries) {
    Start start = this->start();
    const sources::FencedDigests there = source_.digest(table, {});
    const auto look = look_behind(there.fence.end);
    const BucketDigests here = look->digest(*table.relation, {});
    report.rows = row_count(there.buckets);
    report.ranges = 1;
    const std::vector<std::size_t> buckets = differing(there.buckets, here);
    if (buckets.empty()) return;
    // Only where nothing happened between the two looks is a difference one.
    FencedRows nothing;
    nothing.fence = there.fence;
    nothing.rows.relation = table.relation;
    Expectation between({}, nothing);
    fold(between, start.cursor, look->position());
    if (between.changes() > 0 || !settled(start, there.fence.snapshot)) continue;
    if (follower_.has_letters(table.relation->schema, table.relation->name)) {
      report.state = State::kUndecided;
      report.reason = "rows of it are dead letters, and nothing tells which of these rows";
      return;
    }
    for (const std::size_t n : buckets) {
      const std::uint64_t more = std::max(there.buckets[n].rows, here[n].rows);
      const std::uint64_t less = std::min(there.buckets[n].rows, here[n].rows);
      report.keyless_differences += std::max<std::uint64_t>(more - less, 1);
    }
    return;
  }
  report.state = State::kUndecided;
  report.reason = "it changed all the while, and has no key by which its rows could be told apart";
}

}  // namespace tailrace::parity
