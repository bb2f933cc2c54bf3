#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "model/tuple.h"
#include "sinks/duckdb/types.h"

namespace tailrace::duckdb {

/// A match key as bytes: of one column the value itself, of several each with a 32-bit little-endian length before it.
/// Equal keys have equal bytes, since PostgreSQL prints equal data alike.
/// Gives false when a column of the key is null or was sent by neither tuple; such a row has no key.
/// `columns` is ascending; `fallback` (may be absent) supplies columns that `tuple` has as unchanged. Composite keys
/// are written to `arena`; single ones point into the tuple.
bool read_key(TupleView tuple, TupleView fallback, const std::vector<std::size_t>& columns, Arena& arena,
              ByteView& key);

/// The columns of a key made by read_key().
void split_key(ByteView key, std::size_t columns, std::vector<Field>& out);

std::uint64_t hash_bytes(ByteView bytes, std::uint64_t seed = 0);

}  // namespace tailrace::duckdb
