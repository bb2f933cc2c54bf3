#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sources/postgres/slot.h"
#include "sources/source.h"

namespace tailrace::postgres {

/// What the server keeps because of us. A value.
struct ServerBurden {
  /// In transactions: how old the rows of the catalogs are that the slot keeps from VACUUM, and how old the rows of all
  /// tables that a copy or comparison of ours does.
  std::int64_t slot_age = 0;
  std::int64_t snapshot_age = 0;
  /// autovacuum_freeze_max_age: where the server begins to defend itself against a wrap-around.
  std::int64_t age_limit = 0;
  /// max_slot_wal_keep_size in bytes; negative when there is none.
  std::int64_t wal_limit = -1;
};

ServerBurden read_burden(Connection& sql, const std::string& slot);

/// Warnings long before harm is done: a tenth of the age at which the server defends itself (TR137), a third of the WAL
/// left (TR126).
std::vector<sources::SourceProblem> slot_problems(Connection& sql, const std::string& name, const SlotState& slot,
                                                  const ServerBurden& burden);

}  // namespace tailrace::postgres
