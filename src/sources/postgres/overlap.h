#pragma once

#include <set>

#include "model/transaction_log.h"

namespace tailrace::postgres {

/// Evidence that the server still has the history that the log holds: of the commits it sends again, every non-empty
/// one must be in the log as it is sent, and none that the log holds may be missing. Lives for one connection, on the
/// source thread.
class Overlap {
 public:
  /// `start`: the server sends what ended after it.
  Overlap(const TransactionLog& log, Lsn start);
  Lsn start() const { return start_; }

  /// The commit ends at or below the log's end and has changes. Throws RefusedError (TR117) on a fork.
  void resent(const CommitRecord& record);
  /// Everything up to the log's end was sent: all that is expected must have come. Throws RefusedError (TR117).
  void passed();
  /// The evidence is complete, or there was none to give. Until then the server must not be told how far the log is:
  /// it would not send again what tells a fork, and the next connection would find nothing to compare.
  bool complete() const { return passed_; }

 private:
  const TransactionLog& log_;
  Lsn start_;
  /// Ends of logged commits not seen again yet.
  std::set<Lsn> expected_;
  Lsn oldest_remembered_;
  bool passed_ = false;
};

/// How many logged commits the server is asked to send again, where its slot still allows it.
constexpr std::size_t kOverlapCommits = 1000;

/// What the server is asked to begin behind, so that they come again: an older commit, or, while the log remembers
/// fewer, `consistent_point`, where the slot began. Behind the oldest commit the oldest itself would prove nothing.
Lsn overlap_begin(const TransactionLog& log, Lsn consistent_point);

}  // namespace tailrace::postgres
