#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sinks/lake/commit_record.h"
#include "sinks/lake/compaction.h"
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
  void hand_over(std::vector<LakeObject> objects, const std::map<std::string, std::uint64_t>& next_offsets = {});
  /// Makes the next step of the lake. `through`: the last change of each table that was handed over. `topics`: of the
  /// layout `connect`, its files that are open.
  void commit(const sinks::StateChanges& state, const std::map<std::uint32_t, Seq>& through, TopicStep topics = {});
  const CommitRecord& last_step();
  /// Whether merge() has something to do.
  bool wants_to_merge() const;
  /// Begins to merge small objects beside the stream, or makes a step of what was merged. REQUIRES: nothing was handed
  /// over since the last step.
  void merge();

  // Of the layout `connect`.

  /// The number of the topic's next row, as far as it is given. Any thread.
  std::uint64_t next_offset(const std::string& topic) const;
  /// Gives this many numbers of copied rows. Any thread.
  std::uint64_t take_offsets(const std::string& topic, std::uint64_t rows);
  /// Topics that a copy is about to begin: rows of theirs that are open come before it.
  std::vector<std::string> topics_begun() { return std::exchange(topics_begun_, {}); }

 private:
  Ledger& ledger();
  /// Versions of tables are told apart by where they lie in memory, which may be used again.
  void forget_shapes();
  /// Notes what may be merged.
  void note_small(const std::vector<LakeObject>& objects);
  void finish_step(CommitRecord record);
  std::shared_ptr<vectors::ParquetEngine> engine();
  void make_topic(const Relation& relation, bool ours);

  const LakeSpec spec_;
  std::unique_ptr<Ledger> ledger_;
  bool settled_ = false;
  Compactor compactor_;
  SmallObjects small_;
  /// What the next step changes, besides objects: kept until it is made.
  std::map<std::uint32_t, LakeTable> tables_;
  std::vector<std::string> emptied_;
  std::vector<std::string> topics_begun_;

  mutable std::mutex mutex_;
  mutable std::unordered_map<const Relation*, std::shared_ptr<const TableShape>> shapes_;
  std::vector<LakeObject> handed_over_;
  std::shared_ptr<vectors::ParquetEngine> engine_;
  Position next_copied_;
  /// By topic: numbers that are given, and those that were handed over with their objects.
  std::map<std::string, std::uint64_t> offsets_given_;
  std::map<std::string, std::uint64_t> offsets_handed_over_;
};

}  // namespace tailrace::lake
