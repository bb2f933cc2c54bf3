#pragma once

#include <cstdint>
#include <unordered_map>

#include "model/relation.h"

namespace tailrace::journal {

/// What a relation's oid means at a reader's place. One thread.
class Relations {
 public:
  struct Entry {
    RelationPtr relation;
    /// Number of the last batch that keeps the relation alive.
    std::uint64_t batch = 0;
  };

  /// A number for the next batch.
  std::uint64_t next_batch() { return ++batches_; }

  /// A version equal to the known one leaves that in place, so that its users see one pointer.
  void set(RelationPtr relation) {
    Entry& entry = entries_[relation->oid];
    if (entry.relation && *entry.relation == *relation) return;
    entry = {std::move(relation), 0};
    last_ = nullptr;
  }
  /// Null when the oid has no meaning yet.
  Entry* find(Oid oid) {
    if (last_ != nullptr && last_->relation->oid == oid) return last_;
    const auto at = entries_.find(oid);
    if (at == entries_.end()) return nullptr;
    return last_ = &at->second;
  }

 private:
  std::unordered_map<Oid, Entry> entries_;
  Entry* last_ = nullptr;
  std::uint64_t batches_ = 0;
};

}  // namespace tailrace::journal
