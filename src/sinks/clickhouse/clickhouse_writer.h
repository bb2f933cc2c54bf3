#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "sinks/clickhouse/connection.h"
#include "sinks/clickhouse/spec.h"
#include "sinks/clickhouse/tables.h"
#include "sinks/row_target.h"

namespace tailrace::clickhouse {

/// Orders what is written to the state's table: of one key the greatest version counts. Of one target, any thread.
using StateVersion = std::atomic<std::uint64_t>;

/// Writes over one connection: an INSERT for each table, then the state (see RowWriter). Rows come again with the same
/// versions and replace themselves; of events those that are there are left out.
class ClickhouseWriter final : public sinks::RowWriter {
 public:
  /// All three outlive it.
  ClickhouseWriter(const ClickhouseSpec& spec, Tables& tables, StateVersion& state_version);
  void write(std::span<const sinks::RowChange> changes, const sinks::StateChanges& state) override;

 private:
  void write_table(const Relation& relation, std::span<const sinks::RowChange* const> changes);
  /// Events of these changes that the table has already.
  void look_for_events(const TableShape& shape, std::uint64_t first);
  Settings own_settings() const;
  void write_state(const sinks::StateChanges& state);

  const ClickhouseSpec& spec_;
  Tables& tables_;
  StateVersion& state_version_;
  Connection connection_;
  bool state_table_made_ = false;
  /// Rows of one INSERT; kept for its room.
  std::string body_;
  /// Of events: by table, the versions that it had when this writer first came to it.
  std::unordered_map<std::string, std::unordered_set<std::uint64_t>> there_;
};

/// The table that keeps what sinks remember, and its columns.
inline constexpr const char* kStateTable = "tailrace_state";

}  // namespace tailrace::clickhouse
