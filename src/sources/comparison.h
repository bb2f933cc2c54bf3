#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/row_digest.h"
#include "model/snapshot.h"

namespace tailrace::sources {

/// A table as it is published, for comparing.
struct TableToCompare {
  RelationPtr relation;
  /// The publication's row filter as SQL; empty when there is none.
  std::string row_filter;
};

/// What the rows of a range came to under a fence.
struct FencedDigests {
  Fence fence;
  BucketDigests buckets;
};

/// The rows of some buckets under a fence.
struct FencedHashes {
  Fence fence;
  std::vector<RowHash> rows;
};

/// The source's side of a comparison: a connection of its own; every read is a short transaction under a fence of its
/// own, with ACCESS SHARE on one table, without parallel workers. One thread. All throw RetryError or ReconnectError
/// when it is to be asked another time (TR121: the table was altered), RefusedError when it may not be asked.
class Comparison {
 public:
  virtual ~Comparison() = default;
  virtual std::vector<TableToCompare> tables() = 0;
  /// The first key column of the last one of the next `rows` rows in a range that begins above `above`; nothing when
  /// there are fewer. REQUIRES: has_integer_key().
  virtual std::optional<std::int64_t> range_end(const TableToCompare& table, std::optional<std::int64_t> above,
                                                std::uint64_t rows) = 0;
  virtual FencedDigests digest(const TableToCompare& table, const KeyRange& range) = 0;
  virtual FencedHashes list(const TableToCompare& table, const KeyRange& range,
                            const std::vector<std::size_t>& buckets) = 0;
  /// The rows of these keys (see Source::read_keys).
  virtual FencedRows read(const TableToCompare& table, const std::vector<std::string>& keys) = 0;
  /// The transactions that have not ended: whatever else has its commit record in the WAL is visible from now on.
  virtual std::vector<Xid> running() = 0;
};

}  // namespace tailrace::sources
