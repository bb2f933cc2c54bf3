#pragma once

#include <cstdint>
#include <vector>

#include "sinks/duckdb/row_image.h"
#include "sinks/duckdb/table_shape.h"
#include "sinks/duckdb/types.h"

namespace tailrace::duckdb {

/// What one batch makes of the rows of a table without a key under REPLICA IDENTITY FULL: equal rows are counted, not
/// told apart. Its views point into the batch. Made per batch, used by the sink's thread.
class MultisetFold {
 public:
  /// Rows of the same values. 0 and -0 count as the same here, because DuckDB may lose the sign.
  struct Group {
    std::uint64_t hash = 0;
    /// One of the group's rows, complete.
    RowImage sample;
    /// Inserted by this batch and still there.
    std::vector<RowImage> added;
    /// Rows of the target from before the batch that go; the change of each, in order.
    std::vector<const Change*> removed;
  };
  /// History: a row added and removed by this batch, in different transactions.
  struct Version {
    RowImage image;
    const Change* ended_by = nullptr;
  };

  explicit MultisetFold(const TableShape& shape);

  /// The new row of an insert or update.
  void add_new(const Change& change);
  /// The old row of an update or delete. REQUIRES: it is full.
  void take_old(const Change& change);
  void truncate(const Change& change);

  bool empty() const { return groups_.empty() && truncated_by_ == nullptr; }
  const std::vector<Group>& groups() const { return groups_; }
  const std::vector<Version>& versions() const { return versions_; }
  const Change* truncated_by() const { return truncated_by_; }
  /// The first change of a row that a truncate before it had removed.
  const Change* contradiction() const { return contradiction_; }

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;

  Group& group_of(const RowImage& row);
  std::uint64_t hash(const RowImage& row) const;
  bool same(const RowImage& a, const RowImage& b, bool exactly) const;
  ByteView canonical(std::size_t column, const Field& field) const;
  void grow();

  const TableShape& shape_;
  std::vector<bool> floating_;
  std::vector<Group> groups_;
  std::vector<std::uint32_t> index_;
  std::vector<Version> versions_;
  const Change* truncated_by_ = nullptr;
  const Change* contradiction_ = nullptr;
  Arena arena_;
};

}  // namespace tailrace::duckdb
