#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "model/position.h"
#include "sources/postgres/connection.h"
#include "sources/postgres/source_memory.h"

namespace tailrace::postgres {

/// Who a server says it is (IDENTIFY_SYSTEM), and which database we are in.
struct ServerIdentity {
  std::uint64_t system_identifier = 0;
  std::uint32_t timeline = 0;
  /// End of the WAL that is flushed.
  Lsn flushed;
  Oid database;
};

/// A replication slot as pg_replication_slots shows it.
struct SlotState {
  std::string plugin;
  std::string database;
  bool temporary = false;
  bool two_phase = false;
  /// Process that uses it; 0 when nobody does.
  int active_pid = 0;
  Lsn restart;
  Lsn confirmed;
  std::string wal_status;
  /// Why the server gave it up, as far as it tells (16 and later); empty when it did not.
  std::string invalidated_by;
  std::optional<std::int64_t> safe_wal_bytes;
};

/// What a new slot begins with.
struct NewSlot {
  Lsn consistent_point;
  /// Of the exported snapshot; empty when none could be exported.
  std::string snapshot_name;
};

/// `replication` is a replication connection, `sql` an ordinary one to the same database.
/// Throws RefusedError (TR110) where something stands between us and the server.
ServerIdentity identify_server(Connection& replication, Connection& sql);

/// The oldest transactions that are running, as text for people: what a new slot or snapshot waits for.
std::string describe_running_transactions(Connection& sql);

std::optional<SlotState> read_slot(Connection& sql, const std::string& name);

/// Makes a permanent logical slot for pgoutput; the snapshot lives until the next command on `replication`. The server
/// waits for the transactions that run; meanwhile `waiting` is called about once a second.
/// A stop request ends it with a RetryError and leaves no slot behind.
NewSlot create_slot(Connection& replication, const std::string& name, std::stop_token stop,
                    const std::function<void()>& waiting);

/// Removes a slot of which nothing was read, or is to be read any more. Throws RetryError (TR112) while it is in use,
/// as when it is still being made for a start that was broken off.
void drop_unfinished_slot(Connection& sql, const std::string& name);

/// Proves that the slot continues what the log holds up to `log_end`. Its place stands still only once the slot is
/// ours: then it is to be asked again. Throws RefusedError: a gap (TR115, TR118), a lost slot (TR114), a slot of
/// another kind (TR113).
void verify_slot(const std::optional<SlotState>& slot, const SourceFacts& facts, const Position& log_end);

/// Proves that `server` still has what the log holds up to `log_end`, and gives the facts with the timeline brought up
/// to date. Throws RefusedError: another server (TR116), a fork (TR117).
SourceFacts verify_server(Connection& replication, const ServerIdentity& server, const SourceFacts& facts,
                          const Position& log_end);

}  // namespace tailrace::postgres
