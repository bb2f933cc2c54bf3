#include "journal/history.h"

#include <algorithm>
#include <tuple>

#include "journal/frame.h"

namespace tailrace::journal {

void History::add(std::uint32_t epoch, const LoggedCommit& commit) {
  if (limit_ == 0) return;
  if (entries_.size() == limit_) entries_.pop_front();
  entries_.push_back({epoch, commit});
}

std::optional<LoggedCommit> History::find(std::uint32_t epoch, Lsn end) const {
  const auto at = std::ranges::lower_bound(entries_, std::tuple(epoch, end), {},
                                           [](const Entry& e) { return std::tuple(e.epoch, e.commit.end_lsn); });
  if (at == entries_.end() || at->epoch != epoch || at->commit.end_lsn != end) return std::nullopt;
  return at->commit;
}

Lsn History::nth_last(std::uint32_t epoch, std::size_t n) const {
  Lsn found;
  for (auto it = entries_.rbegin(); it != entries_.rend() && it->epoch == epoch && n > 0; ++it, --n)
    found = it->commit.end_lsn;
  return found;
}

std::string History::encode(const Position& last) const {
  std::string bytes;
  bytes.reserve(entries_.size() * sizeof(HistoryRecord));
  for (const Entry& entry : entries_) {
    if (std::tuple(entry.epoch, entry.commit.end_lsn) > std::tuple(last.epoch, last.commit_end)) break;
    HistoryRecord record;
    record.commit_end = entry.commit.end_lsn.value();
    record.commit_time = entry.commit.commit_time.micros();
    record.changes = entry.commit.changes;
    record.epoch = entry.epoch;
    record.xid = entry.commit.xid.value();
    bytes.append(record_bytes(record));
  }
  return bytes;
}

void History::decode(ByteView bytes) {
  entries_.clear();
  while (!bytes.empty()) {
    const auto record = take_record<HistoryRecord>(bytes);
    add(record.epoch, {Lsn(record.commit_end), Xid(record.xid), PgTime(record.commit_time), record.changes});
  }
}

}  // namespace tailrace::journal
