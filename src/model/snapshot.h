#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/lsn.h"
#include "base/time.h"
#include "model/relation.h"

namespace tailrace {

/// What a PostgreSQL snapshot contains, by transaction id (pg_current_snapshot()): all below xmin, none from xmax on,
/// and between them all but those listed. Full 64-bit ids; the stream's 32-bit ids are widened near xmax. A value.
class SnapshotXids {
 public:
  SnapshotXids() = default;
  /// Reads "xmin:xmax:xip,xip"; nothing when the text is not a snapshot.
  static std::optional<SnapshotXids> parse(std::string_view text);
  std::string str() const;

  /// Whether a committed transaction of the stream is among what this snapshot's reads contain. Right as long as
  /// `xid` is within 2^31 transactions of the snapshot.
  bool contains(Xid xid) const;
  std::uint64_t xmin() const { return xmin_; }
  std::uint64_t xmax() const { return xmax_; }

  bool operator==(const SnapshotXids&) const = default;

 private:
  std::uint64_t xmin_ = 0;
  std::uint64_t xmax_ = 0;
  std::vector<std::uint64_t> in_progress_;  // sorted
};

/// A fence: what was read under one snapshot, tied to the stream. All that `snapshot` contains was committed before
/// `end` (the WAL insert position taken with it), so nothing that ends after `end` is in it.
struct Fence {
  SnapshotXids snapshot;
  Lsn end;
  /// The server's clock when the fence was taken.
  PgTime taken_at;

  /// Whether reads under this fence already contain the transaction that committed with `xid`, ending at `commit_end`.
  bool contains(Xid xid, Lsn commit_end) const { return commit_end <= end && snapshot.contains(xid); }
  bool operator==(const Fence&) const = default;
};

/// A table whose rows were copied, and what the copy contains.
struct CopiedTable {
  RelationPtr relation;
  Fence fence;
  std::uint64_t rows = 0;
};

/// Rows on their way from a copy to a sink.
struct CopiedRows {
  RelationPtr relation;
  /// Tuples in pgoutput's form, one after the other.
  std::string tuples;
  std::uint64_t count = 0;
  /// In place of `tuples`: a very long row, which lives as long as `held`.
  ByteView held_tuple = {};
  std::shared_ptr<const void> held = {};

  ByteView bytes() const { return held ? held_tuple : ByteView(tuples); }
};

/// Rows that were read by key, tied to the stream: `rows` is the exact state of the asked keys under `fence`. A key
/// that has no row there does not exist there.
struct FencedRows {
  Fence fence;
  CopiedRows rows;
};

}  // namespace tailrace
