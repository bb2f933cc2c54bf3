#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "model/change_batch.h"
#include "sinks/local_state.h"
#include "sinks/outcomes.h"
#include "sinks/row_table.h"
#include "sinks/sink.h"

/// What a RowSink keeps at its target, as keys and bytes.
namespace tailrace::sinks {

std::string encode_cursor(const Cursor& cursor, const Counters& counters);
/// Throws OutOfBytes for what encode_cursor() did not write.
std::pair<Cursor, Counters> decode_cursor(const std::string& bytes);

/// What is kept of the sink's tables, as state: keys "table:OID", "letter:OID:KEY" and "lacking:OID:KEY", the latter
/// two in hexadecimal.
std::string table_key(const RowTable& table);
std::string letter_key(const RowTable& table, std::string_view key);
std::string lacking_key(const RowTable& table, std::string_view key);
std::string encode_table(const RowTable& table);
std::string encode_lacking(const LackingRow& row);
/// The place of the last change that was applied behind a letter; empty: none was.
std::string encode_passed(const Position& at);

/// What became of a table's changes, as state: "outcomes:NAME", the name in hexadecimal.
std::string outcomes_key(const std::string& table);
std::string encode_outcomes(const OutcomeCounts& counts);
/// Throws CorruptionError TR800 for what encode_outcomes() did not write.
TableOutcomes read_outcomes(const StateMap& state);

/// Reads them back, by oid. Throws CorruptionError TR800 for what none of these wrote.
std::map<std::uint32_t, RowTable> read_tables(const StateMap& state);

}  // namespace tailrace::sinks
