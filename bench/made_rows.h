#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/change_batch.h"
#include "process_cost.h"
#include "sinks/sink.h"

/// Tables, batches and copies that benchmarks of sinks make in memory.
namespace tailrace {

/// A table without columns, of the schema `public`.
inline std::shared_ptr<Relation> made_table(std::string name) {
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(16384);
  relation->schema = "public";
  relation->name = std::move(name);
  relation->primary_key_immediate = true;
  return relation;
}

/// The next column; the first one is the key. `type`: an oid of pg_catalog's.
inline Column& add_column(Relation& relation, const char* name, std::uint32_t type, std::int32_t typmod = -1) {
  Column column;
  column.name = name;
  column.attnum = static_cast<std::int16_t>(relation.columns.size() + 1);
  column.type.declared = column.type.base = Oid(type);
  column.type.base_typmod = typmod;
  column.primary_key_place = relation.columns.empty() ? 1 : 0;
  column.in_identity = relation.columns.empty();
  return relation.columns.emplace_back(std::move(column));
}

/// The typmod of NUMERIC(precision, scale).
constexpr std::int32_t numeric_typmod(int precision, int scale) { return ((precision << 16) | scale) + 4; }

/// Gathers the rows of one batch.
class MadeBatch {
 public:
  explicit MadeBatch(RelationPtr relation) : relation_(std::move(relation)) {}

  /// Where the next row's tuple is to be written, behind what is there.
  std::string& next(ChangeKind kind = ChangeKind::kInsert) {
    rows_.push_back({kind, bytes_->size()});
    return *bytes_;
  }

  /// The batch. `begin(n)`: the transaction whose first row is row n; each has `per_txn` rows.
  template <typename Begin>
  ChangeBatchPtr made(std::uint64_t per_txn, Begin begin) {
    auto batch = std::make_shared<ChangeBatch>();
    for (std::size_t n = 0; n < rows_.size(); ++n) {
      if (n % per_txn == 0) batch->transactions.push_back(begin(n));
      const std::size_t end = n + 1 < rows_.size() ? rows_[n + 1].at : bytes_->size();
      Change change;
      change.kind = rows_[n].kind;
      change.transaction = static_cast<std::uint32_t>(batch->transactions.size() - 1);
      change.ordinal = n % per_txn;
      change.relation = relation_.get();
      change.new_row = TupleView(std::string_view(*bytes_).substr(rows_[n].at, end - rows_[n].at));
      batch->changes.push_back(change);
    }
    batch->end.position = {1, batch->transactions.back().commit_end, rows_.size()};
    batch->end.seq = batch->transactions.back().seq;
    batch->bytes = bytes_->size();
    batch->relations.push_back(relation_);
    batch->buffers.push_back(std::move(bytes_));
    return batch;
  }

 private:
  struct Row {
    ChangeKind kind;
    std::size_t at;
  };
  RelationPtr relation_;
  std::shared_ptr<std::string> bytes_ = std::make_shared<std::string>();
  std::vector<Row> rows_;
};

/// A first copy of rows 1 to `rows`, up to LSN 1000. `write(out, id)`: writes a row's tuple, which `meter` leaves out.
template <typename Write>
void copy_made_rows(sinks::Sink& sink, const RelationPtr& relation, std::uint64_t rows, Meter& meter, Write write) {
  sink.begin_copy({relation});
  meter.begin();
  std::unique_ptr<sinks::CopyWriter> writer = sink.open_copy(relation);
  meter.end();
  CopiedRows copied;
  copied.relation = relation;
  for (std::uint64_t id = 1; id <= rows; ++id) {
    write(copied.tuples, id);
    ++copied.count;
    if (copied.tuples.size() < (1 << 20) && id != rows) continue;
    meter.begin();
    writer->append(copied);
    meter.end();
    copied.tuples.clear();
    copied.count = 0;
  }
  CopiedTable done;
  done.relation = relation;
  done.fence.snapshot = *SnapshotXids::parse("10:10:");
  done.fence.end = Lsn(1000);
  done.rows = rows;
  meter.begin();
  writer->finish();
  writer.reset();
  sink.finish_copy(done);
  meter.end();
  Cursor start;
  start.position = {1, Lsn(1000), 0};
  sink.finish_copies(start);
}

}  // namespace tailrace
