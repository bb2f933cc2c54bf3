#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "rules/row_rules.h"

namespace tailrace::duckdb {

/// What to do with a value that DuckDB's nearest type cannot hold (NaN in a DECIMAL, a timestamp past 294247, an array
/// of more than one dimension).
enum class OnUnrepresentable : std::uint8_t {
  /// The change becomes a dead letter; the column keeps its type.
  kDeadLetter,
  /// Columns whose PostgreSQL type has such values are created as VARCHAR and hold PostgreSQL's own text.
  kText,
};

/// What becomes of a column that was dropped at the source.
enum class DroppedColumns : std::uint8_t {
  /// The table is held until a person decides.
  kHold,
  /// It is dropped in the mirror, too. A history keeps it in any case.
  kDrop,
  /// It stays with its values; new rows have NULL in it.
  kKeep,
};

/// What a DuckDB target is asked to be. A value.
struct DuckdbSpec {
  std::filesystem::path path;
  /// Whose target this is; a file of another pipeline or source is refused.
  std::string pipeline;
  std::string source_id;
  /// The pipeline has written to this file before: when it is no DuckDB file any more, it is damaged.
  bool known = false;
  /// Whether the pipeline wants a table; changes of others are filtered. Null: all.
  std::function<bool(std::string_view schema, std::string_view table)> wanted;
  /// Null: there are none.
  std::shared_ptr<const rules::RowRules> rules;
  /// Tables that also get `<table>__history` (TablePatterns). Empty: none.
  std::vector<std::string> history;
  /// Keep versions that began and ended inside one source transaction.
  bool history_intermediate = false;
  /// Export histories beside the file, so that they outlive it.
  bool history_safety = true;
  /// Bytes that DuckDB may use for itself (its memory_limit); our own buffers come on top.
  std::uint64_t memory_limit = 256ULL << 20;
  /// DuckDB's threads. One is enough to apply: more of them cost CPU time that the source and the log need.
  unsigned threads = std::max(1U, std::thread::hardware_concurrency() / 2);
  OnUnrepresentable on_unrepresentable = OnUnrepresentable::kDeadLetter;
  DroppedColumns dropped_columns = DroppedColumns::kHold;
  /// Later changes of a row with a dead letter are applied.
  bool apply_later = false;
  /// Give the file up when nothing flowed for so long. The runner acts on it by Sink::release().
  std::optional<std::chrono::milliseconds> release_when_idle;
};

/// Whether history is kept for a table, by the spec's patterns.
bool keeps_history(const DuckdbSpec& spec, const std::string& schema, const std::string& table);

}  // namespace tailrace::duckdb
