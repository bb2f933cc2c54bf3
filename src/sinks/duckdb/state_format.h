#pragma once

#include <cstdint>
#include <optional>

#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/spec.h"

namespace tailrace::duckdb {

/// The form of the schema `tailrace` in a target (see state_tables.h), as `tailrace.meta` names it.
///
///   1   `incomplete` or `baselines` may lack the columns that 2 has
///   2   `incomplete` with seq, since and xid; `baselines` with kept_until
///   3   `chunks`
///   4   `outcomes`; `letters` with epoch, commit_lsn and ordinal
///
/// Any change of the schema gives it another number and a step in upgrade_state(). An older target is brought up to
/// date when it is opened for writing, in one transaction; a newer one is refused.
inline constexpr std::uint64_t kStateFormat = 4;

/// Nothing when the file has no such schema. Throws RefusedError TR602, TR603 or TR604 when it is there and not of this
/// pipeline and source (an empty spec.source_id is not compared) or newer, CorruptionError TR605. Changes nothing.
std::optional<std::uint64_t> state_format(Connection& connection, const DuckdbSpec& spec);

/// Makes the schema. REQUIRES: no transaction is open.
void create_state(Connection& connection, const DuckdbSpec& spec);

/// Brings a schema of form `from` to kStateFormat. REQUIRES: no transaction is open.
void upgrade_state(Connection& connection, const DuckdbSpec& spec, std::uint64_t from);

}  // namespace tailrace::duckdb
