#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "journal/frame.h"
#include "journal/relations.h"
#include "model/change_batch.h"

namespace tailrace::journal {

/// Turns messages into the changes of one batch. Owned by a reader; one thread, one batch.
class BatchBuilder {
 public:
  explicit BatchBuilder(Relations& relations);

  /// What the messages given from now on point into.
  void pin(const std::shared_ptr<const void>& buffer) {
    if (batch_->buffers.empty() || batch_->buffers.back() != buffer) batch_->buffers.push_back(buffer);
  }
  /// The transaction's changes from `first_ordinal` on follow; about `expected` of them in this batch.
  void begin(const Transaction& transaction, std::uint64_t first_ordinal, std::uint64_t expected);
  /// One change message, or an R, which is the caller's to have dealt with. Throws BadDataError when it is malformed.
  void message(ByteView message);
  void relation(ByteView encoded) { relations_.set(decode_relation(encoded)); }
  /// Where a reader stands after what was given so far.
  void set_end(const Cursor& end) {
    batch_->end = end;
    moved_ = true;
  }
  void set_last_part(bool last) { batch_->transactions.back().last_part = last; }

  bool moved() const { return moved_; }
  bool empty() const { return batch_->empty(); }
  std::uint64_t changes() const { return batch_->changes.size(); }
  std::uint64_t bytes() const { return batch_->bytes; }
  /// Ordinal of the next change of the transaction begun last.
  std::uint64_t ordinal() const { return ordinal_; }

  ChangeBatchPtr finish() { return std::move(batch_); }

 private:
  const Relation* known(Oid oid);
  Change& add(ChangeKind kind);

  Relations& relations_;
  std::unique_ptr<ChangeBatch> batch_;
  std::uint64_t number_;
  std::uint64_t ordinal_ = 0;
  bool moved_ = false;
};

}  // namespace tailrace::journal
