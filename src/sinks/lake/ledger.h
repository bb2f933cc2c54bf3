#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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
  /// Makes the next step: its state is that of the step before with `changes`. Gives it a number. Throws RetryError
  /// TR855 when somebody else made it.
  void commit(CommitRecord record);
  const CommitRecord& last() const { return last_; }
  Store& store() { return *store_; }

 private:
  /// The state of a step that says only what changed.
  void put_together(const std::vector<std::string>& paths);
  /// Whether the next record says what changed only.
  bool takes_changes(const CommitRecord& record);
  void work_off();
  /// Nobody has gone further than us, and nothing older is left.
  void clear_older();
  /// Rows of files that were complete at the last step, or never became part of one.
  void drop_kept(const std::vector<std::string>& paths);

  std::unique_ptr<Store> store_;
  CommitRecord last_;
  /// Of the state, as it was written last, and of what changed since then.
  std::size_t whole_bytes_ = 0;
  std::size_t changed_bytes_ = 0;
  /// Whether all that the last step says is done.
  bool done_ = true;
};

}  // namespace tailrace::lake
