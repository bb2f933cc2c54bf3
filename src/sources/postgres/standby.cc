#include "sources/postgres/standby.h"

#include <libpq-fe.h>

#include <algorithm>
#include <string>
#include <unordered_set>

#include "base/error.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kDoing = "taking a fence at a standby";
constexpr int kTries = 200;

/// The transactions from `xmin` on and below `xmax` that have not ended, sub-transactions included.
std::unordered_set<std::uint64_t> unended(Connection& sql, std::uint64_t xmin, std::uint64_t xmax) {
  const Rows rows = sql.query("SELECT x FROM generate_series(" + std::to_string(xmin) + ", " + std::to_string(xmax) +
                                  " - 1) x WHERE pg_xact_status(x::text::xid8) = 'in progress'",
                              kDoing);
  std::unordered_set<std::uint64_t> out;
  for (std::size_t i = 0; i < rows.size(); ++i) out.insert(rows.unsigned_number(i, 0));
  return out;
}

SnapshotXids current_snapshot(Connection& sql) {
  const auto snapshot = SnapshotXids::parse(sql.query("SELECT pg_current_snapshot()", kDoing).at(0, 0));
  if (!snapshot) throw DefectError("a snapshot of the server cannot be read");
  return *snapshot;
}

/// All that may have been visible when the fence was taken, although its record is still being replayed.
Lsn received(Connection& sql) {
  return sql
      .query("SELECT GREATEST(pg_last_wal_replay_lsn(), COALESCE(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()))",
             kDoing)
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
    const auto before = unended(sql, earlier.xmin(), earlier.xmax());
    Fence fence = begin();
    const std::uint64_t xmin = fence.snapshot.xmin();
    const std::uint64_t xmax = fence.snapshot.xmax();
    const auto after = unended(sql, xmin, xmax);
    bool clear = true;
    std::string text = std::to_string(xmin) + ":" + std::to_string(xmax) + ":";
    for (std::uint64_t xid = xmin; xid < xmax && clear; ++xid) {
      if (after.contains(xid)) {
        text += (text.back() == ':' ? "" : ",") + std::to_string(xid);
      } else {
        // It has ended: in the snapshot if that was so before.
        clear = xid < earlier.xmax() && !before.contains(xid);
      }
    }
    if (clear) {
      fence.snapshot = SnapshotXids::parse(text).value();
      fence.end = std::max(fence.end, received(sql));
      return fence;
    }
    sql.query("ROLLBACK", kDoing);
  }
  throw RetryError("TR138", "transactions end at this standby faster than a snapshot of it can be described",
                   "none needed: it is tried again; at a calmer time, or at the primary, it succeeds");
}

}  // namespace tailrace::postgres
