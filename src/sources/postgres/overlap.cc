#include "sources/postgres/overlap.h"

#include <algorithm>

#include "base/error.h"

namespace tailrace::postgres {
namespace {

[[noreturn]] void fork(const std::string& what) {
  throw RefusedError("TR117", "this server has another history than the one that was followed: " + what,
                     "if an older copy was restored or another server promoted: start a new pipeline with a copy");
}

}  // namespace

Lsn overlap_begin(const TransactionLog& log, Lsn consistent_point) {
  const Lsn begin = log.nth_last_commit(kOverlapCommits);
  const bool remembers_fewer = begin == log.nth_last_commit(kOverlapCommits - 1);
  return remembers_fewer ? consistent_point : std::max(begin, consistent_point);
}

Overlap::Overlap(const TransactionLog& log, Lsn start)
    : log_(log), start_(start), passed_(start >= log.end().commit_end) {
  for (std::size_t n = 1; n <= kOverlapCommits; ++n) {
    const Lsn end = log.nth_last_commit(n);
    if (end <= start || !expected_.insert(end).second) break;
  }
  oldest_remembered_ = log.nth_last_commit(SIZE_MAX);
}

void Overlap::resent(const CommitRecord& record) {
  const std::optional<LoggedCommit> logged = log_.find_commit(record.end_lsn);
  expected_.erase(record.end_lsn);
  if (!logged) {
    if (oldest_remembered_.valid() && record.end_lsn > oldest_remembered_)
      fork("a transaction ending at " + record.end_lsn.str() + " is not in the log");
    return;
  }
  if (logged->xid != record.xid || logged->commit_time != record.commit_time)
    fork("the transaction ending at " + record.end_lsn.str() + " is another one");
}

void Overlap::passed() {
  if (passed_) return;
  passed_ = true;
  if (!expected_.empty()) fork("the transaction ending at " + expected_.begin()->str() + " did not come again");
}

}  // namespace tailrace::postgres
