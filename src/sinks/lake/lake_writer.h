#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "sinks/lake/commit_record.h"
#include "sinks/lake/row_file.h"
#include "sinks/lake/store.h"
#include "sinks/lake/table_shape.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

class LakeTarget;

/// Gathers rows in objects and stages them, one for each table, version and day, until a step publishes them.
class LakeWriter final : public sinks::RowWriter {
 public:
  /// `target` outlives it.
  explicit LakeWriter(LakeTarget& target);
  ~LakeWriter() override;

  void write(std::span<const sinks::RowChange> changes, const sinks::StateChanges& state) override;
  void finish() override;

 private:
  /// Of one object.
  struct Gathered {
    std::shared_ptr<const TableShape> shape;
    std::unique_ptr<RowFile> file;
    Position first;
    Position last;
    std::uint64_t rows = 0;
    std::size_t bytes = 0;
    /// Days since 1970-01-01.
    std::int32_t day = 0;
    /// The rows are of a copy and have no places of their own.
    bool copied = false;
  };
  using Key = std::pair<const TableShape*, std::int32_t>;

  void append(const sinks::RowChange& change, const std::shared_ptr<const TableShape>& shape);
  std::int32_t day_of(const sinks::RowChange& change) const;
  void stage(Gathered& gathered);
  void stage_largest();
  void stage_all();

  LakeTarget& target_;
  const std::unique_ptr<Store> store_;
  /// Bytes that may be gathered in all.
  const std::size_t most_;
  /// The day of rows that a copy finds.
  const std::int32_t today_;
  std::map<Key, Gathered> gathered_;
  std::size_t bytes_ = 0;
  std::vector<LakeObject> staged_;
  std::map<std::uint32_t, Seq> through_;
};

}  // namespace tailrace::lake
