#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "model/relation.h"

namespace tailrace {

/// How a row is brought into one text on both sides of a comparison (docs/parity.md): columns in order with ',' between
/// them; a value is PostgreSQL's own text, NULL nothing. Where the text may hold anything at all it is counted: its
/// length in bytes and ':' stand before it, NULL is ':' alone. So no two rows have one text.
bool is_counted(const ColumnType& type);
/// float4 and float8, whose -0 counts as 0: DuckDB's storage does not keep that sign.
bool is_floating(const ColumnType& type);

/// The 64-bit hash of a text: what PostgreSQL's hashtextextended(text COLLATE "C", 0) gives on little-endian servers
/// (src/common/hashfn.c, hash_bytes_extended; B. Jenkins' lookup3).
std::uint64_t hash_text(ByteView text);

/// Rows are counted and their hashes summed up in so many buckets.
inline constexpr std::size_t kBuckets = 1024;

/// What the rows of a bucket come to. The sum is taken modulo 2^64.
struct BucketDigest {
  std::uint64_t rows = 0;
  std::uint64_t sum = 0;

  bool operator==(const BucketDigest&) const = default;
};
using BucketDigests = std::vector<BucketDigest>;

/// A part of a table: the rows whose first key column lies above one bound and not above the other. Without bounds:
/// all.
struct KeyRange {
  std::optional<std::int64_t> above;
  std::optional<std::int64_t> up_to;
};

/// Whether a table can be read range by range: its first key column is an integer, which both sides order alike. Its
/// buckets then are the last bits of that integer; else those of the hash of the key's text (of the row's, where there
/// is no key).
bool has_integer_key(const Relation& relation);

/// One row of a bucket: its key (a tuple of the match_key() columns, in that order; empty for tables without key) and
/// the hash of its text.
struct RowHash {
  std::string key;
  std::uint64_t hash = 0;
};

}  // namespace tailrace
