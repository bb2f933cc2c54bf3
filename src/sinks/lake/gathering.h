#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "model/position.h"
#include "sinks/lake/object_names.h"
#include "sinks/lake/row_file.h"
#include "sinks/lake/table_shape.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

/// Rows on their way into one file.
struct GatheredRows {
  std::shared_ptr<const TableShape> shape;
  std::unique_ptr<RowFile> file;
  Position first;
  Position last;
  /// Of the last change; 0 of copied rows.
  Seq through;
  std::uint64_t rows = 0;
  std::size_t bytes = 0;
  /// Days since 1970-01-01; 0 where days are not told apart.
  std::int32_t day = 0;
  /// The rows are of a copy and have no places of their own.
  bool copied = false;
};

/// Rows that are gathered, for one file of each table, version and day, until there are too many or a step ends. Owned
/// by a writer, on its thread.
class Gathering {
 public:
  using MakeFile = std::function<std::unique_ptr<RowFile>(const std::shared_ptr<const TableShape>& shape)>;
  /// Takes what is in a file out of it.
  using TakeOut = std::function<void(GatheredRows& rows)>;

  /// `most`: bytes that may be gathered in all.
  Gathering(std::size_t most, Partitioning partitioning, MakeFile make, TakeOut take_out);

  /// The change's bytes stay until take_in().
  void append(const sinks::RowChange& change, const std::shared_ptr<const TableShape>& shape);
  void take_in();
  void take_out_all();

 private:
  using Key = std::pair<const TableShape*, std::int32_t>;

  std::int32_t day_of(const sinks::RowChange& change) const;
  void take_out_largest();
  /// Where rows of this version and day are gathered.
  GatheredRows& place_of(const std::shared_ptr<const TableShape>& shape, std::int32_t day);

  const Partitioning partitioning_;
  const MakeFile make_;
  const TakeOut take_out_;
  const std::size_t most_;
  /// The day of rows that a copy finds.
  const std::int32_t today_;
  std::map<Key, GatheredRows> gathered_;
  /// The one of them that took the last row; null: it was taken out.
  GatheredRows* recent_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace tailrace::lake
