#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "sinks/lake/commit_record.h"
#include "sinks/lake/ledger.h"
#include "sinks/lake/parquet_file.h"
#include "sinks/lake/row_file.h"
#include "sinks/lake/spec.h"
#include "sinks/lake/table_shape.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

/// Objects that hold every change of their table (docs/lake.md). Owned by a RowSink; see RowTarget for threads.
class LakeTarget final : public sinks::RowTarget {
 public:
  explicit LakeTarget(LakeSpec spec);
  ~LakeTarget() override;

  sinks::RowTraits traits() const override;
  sinks::StateMap open() override;
  std::unique_ptr<sinks::RowWriter> writer() override;
  std::string obstacle(const Relation& relation) const override;
  const char* refusal_of(const sinks::RowChange& change) const override;
  void make_table(const Relation& relation, bool ours) override;
  void empty_table(const Relation& relation) override;
  std::string alter_table(const Relation& before, const Relation& after, const SchemaChange& change) override;
  void release() override;

  // For its writers.

  const LakeSpec& spec() const { return spec_; }
  /// The version that the rows are in. Any thread.
  std::shared_ptr<const TableShape> shape(const Relation& relation) const;
  std::unique_ptr<RowFile> file(const std::shared_ptr<const TableShape>& shape);
  /// The number of the table's last change that is in the lake.
  Seq through(Oid table) const;
  /// The first of so many places for copied rows, which have none of their own: of no epoch, in the step from which
  /// they were copied. Any thread.
  Position places_of_copied(std::uint64_t rows);
  /// Objects that the next step publishes. Any thread.
  void hand_over(std::vector<LakeObject> objects);
  /// Makes the next step of the lake. `through`: the last change of each table that was handed over.
  void commit(const sinks::StateChanges& state, const std::map<std::uint32_t, Seq>& through);

 private:
  Ledger& ledger();
  /// Versions of tables are told apart by where they lie in memory, which may be used again.
  void forget_shapes();

  const LakeSpec spec_;
  std::unique_ptr<Ledger> ledger_;
  bool settled_ = false;
  /// What the next step changes, besides objects: kept until it is made.
  std::map<std::uint32_t, LakeTable> tables_;
  std::vector<std::string> emptied_;

  mutable std::mutex mutex_;
  mutable std::unordered_map<const Relation*, std::shared_ptr<const TableShape>> shapes_;
  std::vector<LakeObject> handed_over_;
  std::shared_ptr<vectors::ParquetEngine> engine_;
  Position next_copied_;
};

}  // namespace tailrace::lake
