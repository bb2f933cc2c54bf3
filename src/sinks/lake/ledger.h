#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "sinks/lake/commit_record.h"
#include "sinks/lake/store.h"

namespace tailrace::lake {

/// The lake's steps, one after the other (docs/lake.md). A step is decided by one object, `_state/<number>`, which
/// nobody can write twice; what it says is done afterwards, and done again after a crash. Owned by the target, on the
/// sink's thread.
class Ledger {
 public:
  explicit Ledger(std::unique_ptr<Store> store) : store_(std::move(store)) {}

  /// Reads the last step. Changes nothing.
  const CommitRecord& open();
  /// Does what the last step still lacks, and clears away what was staged for none. REQUIRES: open, and the lake is
  /// ours.
  void settle();
  /// Makes the next step. Gives it a number. Throws RetryError TR855 when somebody else made it.
  void commit(CommitRecord record);
  const CommitRecord& last() const { return last_; }
  Store& store() { return *store_; }

 private:
  void work_off();
  /// Nobody has gone further than us, and nothing older is left.
  void clear_older();

  std::unique_ptr<Store> store_;
  CommitRecord last_;
  /// Whether all that the last step says is done.
  bool done_ = true;
};

}  // namespace tailrace::lake
