#pragma once

#include <functional>

#include "model/snapshot.h"
#include "sources/postgres/connection.h"

/// What is different when the server that is read from only follows another one.
namespace tailrace::postgres {

/// The end of the WAL, as SQL: at a standby what was replayed, which is what it streams and shows.
inline constexpr const char* kWalEnd =
    "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END";

/// Whether the session is at a standby. No question to the server; versions before 14 always say no.
bool at_standby(const Connection& sql);

/// Takes a fence through `begin`, which begins a transaction on `sql`, whose first query takes the snapshot. At the
/// primary that is all. A standby's pg_current_snapshot() leaves out what runs at the primary, so there it is asked
/// which transactions had ended before and after, and asked again until none ended in between. Throws RetryError
/// (TR138) when that does not come about; then no transaction is open.
Fence take_fence_through(Connection& sql, const std::function<Fence()>& begin);

}  // namespace tailrace::postgres
