#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sinks/lake/commit_record.h"
#include "sinks/lake/connect_layout.h"
#include "sinks/lake/open_rows.h"
#include "sinks/lake/row_file.h"
#include "sinks/lake/store.h"
#include "sinks/lake/table_shape.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

class LakeTarget;

/// Gathers rows in files as Kafka Connect's object stores do (docs/lake.md): a file is complete when its topic has its
/// number of rows or its time has come, whatever steps are made meanwhile. What is not complete stays in memory and is
/// kept, as rows, with each step.
class TopicWriter final : public sinks::RowWriter {
 public:
  /// `target` outlives it. `stream`: this one is the sink's own and goes on with the files that the last step left
  /// open; a copy's writer closes its files at its end.
  TopicWriter(LakeTarget& target, bool stream);
  ~TopicWriter() override;

  void write(std::span<const sinks::RowChange> changes, const sinks::StateChanges& state) override;
  void finish() override;
  bool wants_maintenance() const override;
  void maintain() override;

 private:
  /// A file that is being filled.
  struct OpenFile {
    std::shared_ptr<const TableShape> shape;
    std::unique_ptr<RowFile> file;
    std::uint64_t offset = 0;
    std::uint64_t rows = 0;
    std::size_t bytes = 0;
    Position first;
    Position last;
    /// Rows that no step keeps yet, as append_open_row() writes them.
    std::string unkept;
    /// The steps that keep some of its rows.
    std::vector<std::uint64_t> kept_in;
  };
  struct Topic {
    /// The number of the next row.
    std::uint64_t next = 0;
    /// By partition.
    std::map<std::string, OpenFile> files;
    /// Of all files that are open.
    std::uint64_t rows = 0;
    /// Where the first of these rows stands.
    std::int64_t began = 0;
    /// The partition of the last row.
    std::string partition;
    /// Of these two rows; while files are read back.
    Seq first_seq;
    Seq last_seq;
    /// When they are closed by the clock.
    std::int64_t schedule = 0;
  };

  void restore();
  void append(const sinks::RowChange& change, const Relation& relation, const std::shared_ptr<const TableShape>& shape);
  /// Whether the files of the topic are complete before this row comes.
  bool complete_before(const Topic& topic, const std::string& partition, std::int64_t time) const;
  OpenFile& file_for(const std::string& name, Topic& topic, const std::string& partition,
                     const std::shared_ptr<const TableShape>& shape);
  void close(const std::string& name, Topic& topic);
  void stage(const std::string& name, const std::string& partition, OpenFile& file);
  void close_largest();
  void close_all();
  void step(const sinks::StateChanges& state);
  /// Few objects keep what is open, however many steps it stays so.
  void gather_kept();

  LakeTarget& target_;
  const ConnectLayout& layout_;
  const bool stream_;
  const std::unique_ptr<Store> store_;
  /// Bytes that may be gathered in all.
  const std::size_t most_;
  std::map<std::string, Topic> topics_;
  std::size_t bytes_ = 0;
  std::vector<LakeObject> staged_;
  /// Of a copy: behind the last row of each topic that is staged.
  std::map<std::string, std::uint64_t> ends_;
  std::map<std::uint32_t, Seq> through_;
  /// Rows came since the last step.
  bool inside_ = false;
};

}  // namespace tailrace::lake
