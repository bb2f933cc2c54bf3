#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/change_batch.h"
#include "model/row_digest.h"

namespace tailrace::sinks {

/// What one key of a table must be at a target: its row, or none.
struct ExpectedRow {
  /// A tuple of the match_key() columns in that order.
  std::string key;
  /// A tuple of all columns; empty: there is no such row.
  std::string row;
};

/// What became of an expected row.
enum class Verdict : std::uint8_t {
  kEqual,
  kMissing,
  /// A row that must not be there, or stands there more than once.
  kExtra,
  /// There, with other values.
  kStale,
  /// Known to the target as a row that it cannot hold, or that still waits for a value: no secret difference.
  kExcused,
};

/// A table of a target that is compared.
struct ComparedTable {
  RelationPtr relation;
  /// Why it cannot be compared (it is held, or not copied yet); empty when it can.
  std::string obstacle;
};

/// A target as it is at one moment; lives for as short as possible, since it may hold up upkeep. One thread.
class Look {
 public:
  virtual ~Look() = default;
  /// How far the target is; progress without changes may be missing.
  virtual Position position() const = 0;
  virtual const std::vector<ComparedTable>& tables() const = 0;
  virtual BucketDigests digest(const Relation& relation, const KeyRange& range) = 0;
  virtual std::vector<RowHash> list(const Relation& relation, const KeyRange& range,
                                    const std::vector<std::size_t>& buckets) = 0;
  /// One verdict per row, in order. REQUIRES: each key once.
  virtual std::vector<Verdict> judge(const Relation& relation, const std::vector<ExpectedRow>& rows) = 0;
};

/// The target's side of a comparison. Reads beside the sink, in the same process. One thread.
class Comparison {
 public:
  virtual ~Comparison() = default;
  /// Throws RetryError when somebody else holds the target.
  virtual std::unique_ptr<Look> look() = 0;
};

}  // namespace tailrace::sinks
