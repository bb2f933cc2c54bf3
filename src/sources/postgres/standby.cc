#include "sources/postgres/standby.h"

#include <libpq-fe.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kFencingStandby = "taking a fence at a standby";
constexpr int kTries = 200;

/// Transactions by id, as SQL, of those that have not ended, sub-transactions included.
std::vector<std::uint64_t> unended(Connection& sql, const std::string& ids) {
  const Rows rows = sql.query(
      "SELECT x FROM " + ids + " x WHERE pg_xact_status(x::text::xid8) = 'in progress' ORDER BY x", kFencingStandby);
  std::vector<std::uint64_t> out;
  for (std::size_t i = 0; i < rows.size(); ++i) out.push_back(rows.unsigned_number(i, 0));
  return out;
}

std::string list_of(const std::vector<std::uint64_t>& ids) {
  std::string out;
  for (const std::uint64_t id : ids) out += (out.empty() ? "" : ",") + std::to_string(id);
  return out;
}

SnapshotXids current_snapshot(Connection& sql) {
  const auto snapshot = SnapshotXids::parse(sql.query("SELECT pg_current_snapshot()", kFencingStandby).at(0, 0));
  if (!snapshot) throw DefectError("a snapshot of the server cannot be read");
  return *snapshot;
}

/// All that may have been visible when the fence was taken, although its record is still being replayed.
Lsn received(Connection& sql) {
  return sql
      .query("SELECT GREATEST(pg_last_wal_replay_lsn(), COALESCE(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()))",
             kFencingStandby)
      .lsn(0, 0);
}

}  // namespace

bool at_standby(const Connection& sql) {
  const char* const setting = PQparameterStatus(sql.handle(), "in_hot_standby");
  return setting != nullptr && std::string_view(setting) == "on";
}

Fence take_fence_through(Connection& sql, const std::function<Fence()>& begin) {
  if (!at_standby(sql)) return begin();
  for (int tries = 0; tries < kTries; ++tries) {
    const SnapshotXids earlier = current_snapshot(sql);
    const auto before = unended(
        sql, "generate_series(" + std::to_string(earlier.xmin()) + ", " + std::to_string(earlier.xmax()) + " - 1)");
    Fence fence = begin();
    const std::uint64_t xmin = fence.snapshot.xmin();
    const std::uint64_t xmax = fence.snapshot.xmax();
    // All others below xmax had ended before, and so they are in the snapshot.
    std::vector<std::uint64_t> open;
    for (const std::uint64_t xid : before)
      if (xid >= xmin) open.push_back(xid);
    for (std::uint64_t xid = std::max(earlier.xmax(), xmin); xid < xmax; ++xid) open.push_back(xid);
    const std::string listed = list_of(open);
    if (unended(sql, "unnest('{" + listed + "}'::bigint[])") == open) {
      fence.snapshot = SnapshotXids::parse(std::to_string(xmin) + ":" + std::to_string(xmax) + ":" + listed).value();
      fence.end = std::max(fence.end, received(sql));
      return fence;
    }
    sql.query("ROLLBACK", kFencingStandby);
  }
  throw RetryError("TR138", "transactions end at this standby faster than a snapshot of it can be described",
                   "none needed: it is tried again; at a calmer time, or at the primary, it succeeds");
}

}  // namespace tailrace::postgres
