#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "model/change_batch.h"
#include "model/tuple_for_test.h"

/// A little language for tests of targets: tables and batches.
namespace tailrace::test {

using Row = RowForTest;
using Value = Row::value_type;

struct ColumnSpec {
  std::string name;
  std::uint32_t type = 25;
  std::int32_t typmod = -1;
  std::int16_t key_place = 0;
  TypeKind kind = TypeKind::kBase;
  std::uint32_t element = 0;
};

inline RelationPtr table(const std::string& name, const std::vector<ColumnSpec>& columns,
                         ReplicaIdentity identity = ReplicaIdentity::kDefault, std::uint32_t oid = 16384) {
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(oid);
  relation->schema = "public";
  relation->name = name;
  relation->identity = identity;
  std::int16_t attnum = 0;
  for (const ColumnSpec& spec : columns) {
    Column column;
    column.name = spec.name;
    column.attnum = ++attnum;
    column.type.declared = column.type.base = Oid(spec.type);
    column.type.typmod = column.type.base_typmod = spec.typmod;
    column.type.kind = spec.kind;
    column.type.element = Oid(spec.element);
    column.primary_key_place = spec.key_place;
    column.in_identity = spec.key_place > 0 || identity == ReplicaIdentity::kFull;
    relation->primary_key_immediate = relation->primary_key_immediate || spec.key_place > 0;
    relation->columns.push_back(column);
  }
  return relation;
}

/// id int8 primary key, v text, big text.
inline RelationPtr items() { return table("items", {{"id", 20, -1, 1}, {"v"}, {"big"}}); }

/// Builds one batch, transaction by transaction. LSNs rise by 100, times by a second, over the life of a Clock.
struct Clock {
  std::uint64_t lsn = 1000;
  std::uint64_t seq = 1000;
};

class Batch {
 public:
  explicit Batch(Clock& clock) : clock_(clock), batch_(std::make_shared<ChangeBatch>()) {
    bytes_ = std::make_shared<std::deque<std::string>>();
    batch_->buffers.push_back(bytes_);
    batch_->end.position.epoch = 1;
  }

  Batch& in_epoch(std::uint32_t epoch) {
    batch_->end.position.epoch = epoch;
    return *this;
  }
  Batch& begin(bool first_part = true, bool last_part = true) {
    Transaction transaction;
    transaction.epoch = batch_->end.position.epoch;
    if (first_part) {
      clock_.lsn += 100;
      clock_.seq = std::max(clock_.seq + 1, clock_.lsn);
      first_seq_ = clock_.seq;
    }
    transaction.commit_end = Lsn(clock_.lsn);
    transaction.commit_lsn = Lsn(clock_.lsn - 8);
    transaction.xid = Xid(static_cast<std::uint32_t>(clock_.lsn / 100));
    transaction.commit_time = transaction.monotone_time = at(clock_.lsn);
    transaction.seq = Seq(clock_.lsn);
    transaction.first_part = first_part;
    transaction.last_part = last_part;
    batch_->transactions.push_back(transaction);
    if (first_part) ordinal_ = 0;
    return *this;
  }
  static PgTime at(std::uint64_t lsn) { return PgTime(static_cast<std::int64_t>(lsn) * 1000000); }

  Batch& from_ordinal(std::uint64_t ordinal) {
    ordinal_ = ordinal;
    return *this;
  }
  Batch& insert(const RelationPtr& relation, const Row& row) {
    return add(relation, ChangeKind::kInsert, OldTuple::kNone, {}, row);
  }
  Batch& update(const RelationPtr& relation, const Row& row) {
    return add(relation, ChangeKind::kUpdate, OldTuple::kNone, {}, row);
  }
  Batch& update_key(const RelationPtr& relation, const Row& old_key, const Row& row) {
    return add(relation, ChangeKind::kUpdate, OldTuple::kKey, old_key, row);
  }
  Batch& update_full(const RelationPtr& relation, const Row& old_row, const Row& row) {
    return add(relation, ChangeKind::kUpdate, OldTuple::kFull, old_row, row);
  }
  Batch& remove(const RelationPtr& relation, const Row& old_key) {
    return add(relation, ChangeKind::kDelete, OldTuple::kKey, old_key, {});
  }
  Batch& remove_full(const RelationPtr& relation, const Row& old_row) {
    return add(relation, ChangeKind::kDelete, OldTuple::kFull, old_row, {});
  }
  Batch& describe(const RelationPtr& relation) {
    return add(relation, ChangeKind::kDescription, OldTuple::kNone, {}, {});
  }
  Batch& truncate(const RelationPtr& relation) { return add(relation, ChangeKind::kTruncate, OldTuple::kNone, {}, {}); }

  /// The finished batch.
  const ChangeBatch& done() {
    batch_->end.position.commit_end = Lsn(clock_.lsn);
    batch_->end.position.ordinal = ordinal_;
    batch_->end.seq = Seq(clock_.lsn + ordinal_);
    batch_->end.commit_time = at(clock_.lsn);
    return *batch_;
  }

 private:
  TupleView keep(const Row& row) {
    if (row.empty()) return {};
    bytes_->push_back(tuple_bytes(row));
    return TupleView(bytes_->back());
  }
  Batch& add(const RelationPtr& relation, ChangeKind kind, OldTuple old_kind, const Row& old_row, const Row& row) {
    Change change;
    change.kind = kind;
    change.old_kind = old_kind;
    change.transaction = static_cast<std::uint32_t>(batch_->transactions.size() - 1);
    change.ordinal = ordinal_++;
    change.relation = relation.get();
    change.old_row = keep(old_row);
    change.new_row = keep(row);
    batch_->changes.push_back(change);
    batch_->relations.push_back(relation);
    return *this;
  }

  Clock& clock_;
  std::shared_ptr<ChangeBatch> batch_;
  std::shared_ptr<std::deque<std::string>> bytes_;
  std::uint64_t ordinal_ = 0;
  std::uint64_t first_seq_ = 0;
};

}  // namespace tailrace::test
