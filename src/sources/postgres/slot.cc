#include "sources/postgres/slot.h"

#include <libpq-fe.h>
#include <poll.h>

#include "base/error.h"
#include "base/time.h"
#include "sources/postgres/server_error.h"
#include "sources/postgres/standby.h"
#include "sources/postgres/upgrade.h"

namespace tailrace::postgres {
namespace {

const char* kCopyAgain = "start a new pipeline with a copy (drop this one first)";

/// Ends a query in flight on the server's side.
void cancel(Connection& connection) {
  PGcancel* handle = PQgetCancel(connection.handle());
  if (handle == nullptr) return;
  char error[256];
  PQcancel(handle, error, sizeof error);
  PQfreeCancel(handle);
}

bool wait_for_result(Connection& replication, std::stop_token stop, const std::function<void()>& waiting) {
  auto next_report = SteadyClock::now() + std::chrono::seconds(1);
  while (PQisBusy(replication.handle()) != 0) {
    pollfd wait{PQsocket(replication.handle()), POLLIN, 0};
    if (poll(&wait, 1, 100) > 0 && PQconsumeInput(replication.handle()) == 0)
      throw ReconnectError("TR130", "the connection was lost while making the slot", "none needed: it is tried again");
    if (stop.stop_requested()) return false;
    if (SteadyClock::now() < next_report) continue;
    waiting();
    next_report = SteadyClock::now() + std::chrono::seconds(1);
  }
  return true;
}

std::string create_command(const Connection& replication, const std::string& name, bool with_snapshot) {
  const std::string head = "CREATE_REPLICATION_SLOT " + replication.quoted_name(name) + " LOGICAL pgoutput ";
  if (replication.server_version() < 150000) return head + (with_snapshot ? "EXPORT_SNAPSHOT" : "NOEXPORT_SNAPSHOT");
  std::string options = with_snapshot ? "SNAPSHOT 'export'" : "SNAPSHOT 'nothing'";
  // Standbys that synchronise slots have it too, so that the stream goes on at the one that takes over.
  // A standby's own slots are not among them.
  if (replication.server_version() >= 170000 && !at_standby(replication)) options += ", FAILOVER true";
  return head + "(" + options + ")";
}

/// Where `ours` ended according to the history of the server's timeline; nothing when it is no ancestor.
std::optional<Lsn> switch_point(Connection& replication, std::uint32_t theirs, std::uint32_t ours) {
  const Rows rows =
      replication.query("TIMELINE_HISTORY " + std::to_string(theirs), "reading the history of the timeline");
  if (rows.empty()) return std::nullopt;
  std::string_view text = rows.at(0, 1);
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const auto tab = line.find('\t');
    if (tab == std::string_view::npos || line.substr(0, tab) != std::to_string(ours)) continue;
    line.remove_prefix(tab + 1);
    return Lsn::parse(line.substr(0, line.find('\t')));
  }
  return std::nullopt;
}

void verify_timeline(Connection& replication, const ServerIdentity& server, const SourceFacts& facts, Lsn log_end) {
  if (server.timeline == facts.timeline) return;
  std::optional<Lsn> forked;
  if (server.timeline > facts.timeline) forked = switch_point(replication, server.timeline, facts.timeline);
  if (forked && *forked >= log_end) return;
  throw RefusedError("TR117",
                     "this server went on from timeline " + std::to_string(facts.timeline) + " at " +
                         (forked ? forked->str() : "an unknown place") + ", but " + log_end.str() + " was followed",
                     kCopyAgain);
}

/// The server's word for it, explained.
std::string why_lost(const std::string& reason) {
  if (reason.empty() || reason == "wal_removed") return "the server removed WAL that was still needed";
  if (reason == "idle_timeout") return "it was not read for longer than idle_replication_slot_timeout";
  if (reason == "wal_level_insufficient") return "the primary's wal_level was not logical any more";
  if (reason == "rows_removed")
    return "the primary removed rows of its catalogs that the slot of this standby needed; hot_standby_feedback and "
           "primary_slot_name keep them";
  // All that version 16 says.
  if (reason == "conflict with recovery")
    return "the primary removed rows of its catalogs that the slot of this standby needed, or its wal_level was not "
           "logical any more";
  return "the server says " + reason;
}

}  // namespace

ServerIdentity identify_server(Connection& replication, Connection& sql) {
  const Rows session = sql.query(
      "SELECT pg_backend_pid(), (SELECT oid FROM pg_database WHERE datname = current_database())", "asking who we are");
  if (session.number(0, 0) != sql.backend_pid())
    throw RefusedError("TR110", "a connection pooler stands between Tailrace and PostgreSQL",
                       "connect to PostgreSQL itself: a pooler cannot carry replication");
  const Rows system = replication.query("IDENTIFY_SYSTEM", "asking the server who it is");
  ServerIdentity server;
  server.system_identifier = system.unsigned_number(0, 0);
  server.timeline = static_cast<std::uint32_t>(system.number(0, 1));
  server.flushed = system.lsn(0, 2);
  server.database = session.oid(0, 1);
  return server;
}

std::string describe_running_transactions(Connection& sql) {
  const Rows rows = sql.query(
      "SELECT what FROM (SELECT 'process ' || pid || ', transaction ' || backend_xid || ', running for ' || "
      "date_trunc('second', clock_timestamp() - xact_start), age(backend_xid) FROM pg_stat_activity "
      "WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() "
      "UNION ALL SELECT 'prepared transaction ' || quote_literal(gid) || ', since ' || prepared, age(transaction) FROM "
      "pg_prepared_xacts) running(what, age) ORDER BY age DESC LIMIT 3",
      "looking for old transactions");
  std::string out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i > 0) out += "; ";
    out += rows.at(i, 0);
  }
  return out;
}

std::optional<SlotState> read_slot(Connection& sql, const std::string& name) {
  const int version = sql.server_version();
  const std::string reason = version >= 170000   ? "invalidation_reason"
                             : version >= 160000 ? "CASE WHEN conflicting THEN 'conflict with recovery' END"
                                                 : "NULL";
  const Rows rows =
      sql.query(std::string("SELECT plugin, database, temporary, ") + (version >= 140000 ? "two_phase" : "false") +
                    ", active_pid, restart_lsn, confirmed_flush_lsn, wal_status, safe_wal_size, " + reason +
                    " FROM pg_replication_slots WHERE slot_name = $1",
                {name}, "reading the slot");
  if (rows.empty()) return std::nullopt;
  SlotState slot;
  slot.plugin = rows.at(0, 0);
  slot.database = rows.at(0, 1);
  slot.temporary = rows.flag(0, 2);
  slot.two_phase = rows.flag(0, 3);
  slot.active_pid = static_cast<int>(rows.number(0, 4));
  slot.restart = rows.lsn(0, 5);
  slot.confirmed = rows.lsn(0, 6);
  slot.wal_status = rows.at(0, 7);
  if (!rows.is_null(0, 8)) slot.safe_wal_bytes = rows.number(0, 8);
  slot.invalidated_by = rows.at(0, 9);
  return slot;
}

NewSlot create_slot(Connection& replication, const std::string& name, std::stop_token stop,
                    const std::function<void()>& waiting) {
  for (const bool with_snapshot : {true, false}) {
    if (PQsendQuery(replication.handle(), create_command(replication, name, with_snapshot).c_str()) == 0)
      throw ReconnectError("TR130", "the connection was lost while making the slot", "none needed: it is tried again");
    if (!wait_for_result(replication, stop, waiting)) {
      cancel(replication);
      throw RetryError("TR127", "stopped while the slot was being made", "start again");
    }
    PGresult* result = PQgetResult(replication.handle());
    const Rows rows(result);
    while (PGresult* more = PQgetResult(replication.handle())) PQclear(more);
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
      return {rows.lsn(0, 1), with_snapshot ? std::string(rows.at(0, 2)) : std::string()};
    const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const ServerError error{state == nullptr ? "" : state, message == nullptr ? "the connection was lost" : message};
    // With very many transactions running the snapshot does not fit: the copy then takes a later one.
    if (with_snapshot && error.message.find("snapshot too large") != std::string::npos) continue;
    throw_server_error(error, "making the replication slot");
  }
  throw DefectError("a slot without a snapshot failed as if it had one");
}

void drop_unfinished_slot(Connection& sql, const std::string& name) {
  const auto slot = read_slot(sql, name);
  if (!slot) return;
  if (slot->active_pid != 0)
    throw RetryError("TR112",
                     "process " + std::to_string(slot->active_pid) + " of the server is still making slot \"" + name +
                         "\" for a connection that was lost",
                     "none needed: it ends once the transactions that it waits for have ended");
  sql.query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active",
            {name}, "dropping the slot of an interrupted start");
}

void verify_slot(const std::optional<SlotState>& slot, const SourceFacts& facts, const Position& log_end) {
  const std::string name = "replication slot \"" + facts.slot + "\"";
  if (!slot) throw RefusedError("TR115", name + " does not exist any more: changes since then are gone", kBehindGap);
  if (slot->plugin != "pgoutput" || slot->temporary)
    throw RefusedError("TR113", name + " belongs to something else (plugin " + slot->plugin + ")",
                       "give another slot name");
  if (slot->wal_status == "lost" || !slot->invalidated_by.empty())
    throw RefusedError("TR114", name + " is lost: " + why_lost(slot->invalidated_by), kBehindGap);
  const bool nothing_read = !log_end.commit_end.valid() && !facts.acknowledged.valid();
  const Lsn ours = nothing_read ? facts.consistent_point : log_end.commit_end;
  if (slot->confirmed > ours)
    throw RefusedError("TR118",
                       name + " stands at " + slot->confirmed.str() + ", beyond our record " + ours.str() +
                           ": somebody else read from it or made it anew, or our log was lost",
                       "if nobody else reads from it: drop the slot, then start once with --accept-gap");
}

SourceFacts verify_server(Connection& replication, const ServerIdentity& server, const SourceFacts& facts,
                          const Position& log_end) {
  if (server.system_identifier != followed_cluster(facts))
    throw RefusedError("TR116", "this is another PostgreSQL cluster than the one that was followed",
                       "point to the right server; after pg_upgrade without the slot start a new pipeline with a copy");
  if (server.database != facts.database)
    throw RefusedError("TR116", "this is another database than the one that was followed",
                       "point to the right database, or start a new pipeline for this one");
  verify_timeline(replication, server, facts, log_end.commit_end);
  if (server.flushed < log_end.commit_end)
    throw RefusedError("TR117",
                       "this server's WAL ends at " + server.flushed.str() + ", but it was followed up to " +
                           log_end.commit_end.str() + ": an older copy was restored",
                       kCopyAgain);
  SourceFacts updated = facts;
  updated.timeline = server.timeline;
  return updated;
}

}  // namespace tailrace::postgres
