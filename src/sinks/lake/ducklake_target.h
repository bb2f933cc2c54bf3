#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "sinks/lake/ducklake_catalog.h"
#include "sinks/lake/parquet_file.h"
#include "sinks/lake/spec.h"
#include "sinks/lake/table_shape.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

/// Tables of DuckLake that hold every change (docs/ducklake.md). Owned by a RowSink; see RowTarget for threads.
class DuckLakeTarget final : public sinks::RowTarget {
 public:
  /// REQUIRES: the spec has a catalog.
  explicit DuckLakeTarget(LakeSpec spec);
  ~DuckLakeTarget() override;

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
  DuckLakeCatalog& catalog();
  /// The number of the table's last change that is in the lake.
  Seq through(Oid table);
  /// The version that the rows are in. Any thread.
  std::shared_ptr<const TableShape> shape(const Relation& relation) const;
  /// Any thread.
  std::shared_ptr<vectors::ParquetEngine> engine();
  /// The first of so many places for copied rows, which have none of their own: of no epoch, in the step from which
  /// they were copied. Any thread.
  Position places_of_copied(std::uint64_t rows);
  /// Files that the next step names. Any thread.
  void hand_over(std::vector<DuckLakeFile> files);
  /// Makes the next step.
  void commit(const sinks::StateChanges& state);

 private:
  /// Versions of tables are told apart by where they lie in memory, which may be used again.
  void forget_shapes();

  const LakeSpec spec_;
  std::unique_ptr<DuckLakeCatalog> catalog_;
  bool settled_ = false;
  /// Tables that the next step makes.
  std::vector<std::shared_ptr<const TableShape>> made_;

  mutable std::mutex mutex_;
  mutable std::unordered_map<const Relation*, std::shared_ptr<const TableShape>> shapes_;
  std::vector<DuckLakeFile> handed_over_;
  std::shared_ptr<vectors::ParquetEngine> engine_;
  Position next_copied_;
};

}  // namespace tailrace::lake
