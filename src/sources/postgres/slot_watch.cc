#include "sources/postgres/slot_watch.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kWatchingSlot = "watching the slot";

/// Of our sessions all but the one that asks: the walsender's age is the slot's.
const char* kBurdenSql =
    "SELECT COALESCE((SELECT GREATEST(age(xmin), age(catalog_xmin)) FROM pg_replication_slots WHERE slot_name = $1), "
    "0), "
    "COALESCE((SELECT max(age(backend_xmin)) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> "
    "pg_backend_pid() AND usename = current_user AND datname = current_database() AND application_name = "
    "current_setting('application_name')), 0), "
    "current_setting('autovacuum_freeze_max_age')::bigint, "
    "(SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size')";

std::string what_holds(Connection& sql) {
  const std::string oldest = describe_running_transactions(sql);
  return oldest.empty() ? "what was received is not confirmed" : oldest;
}

}  // namespace

ServerBurden read_burden(Connection& sql, const std::string& slot) {
  const Rows rows = sql.query(kBurdenSql, {slot}, kWatchingSlot);
  ServerBurden burden;
  burden.slot_age = rows.number(0, 0);
  burden.snapshot_age = rows.number(0, 1);
  burden.age_limit = rows.number(0, 2);
  const std::int64_t megabytes = rows.number(0, 3);
  burden.wal_limit = megabytes < 0 ? -1 : megabytes << 20;
  return burden;
}

std::vector<sources::SourceProblem> slot_problems(Connection& sql, const std::string& name, const SlotState& slot,
                                                  const ServerBurden& burden) {
  std::vector<sources::SourceProblem> problems;
  if (slot.wal_status == "unreserved") {
    problems.push_back({"TR126", "the server is about to remove WAL that slot " + name + " still needs",
                        "raise max_slot_wal_keep_size, or mend what holds the stream up"});
  } else if (slot.safe_wal_bytes && burden.wal_limit > 0 && *slot.safe_wal_bytes < burden.wal_limit / 3) {
    problems.push_back({"TR126",
                        "of the WAL that slot " + name + " may keep only " +
                            std::to_string(*slot.safe_wal_bytes >> 20) + " of " +
                            std::to_string(burden.wal_limit >> 20) + " MB are left; it is held by: " + what_holds(sql),
                        "raise max_slot_wal_keep_size, or end what holds it"});
  }
  const std::int64_t alarm = burden.age_limit / 10;
  if (burden.slot_age > alarm)
    problems.push_back({"TR137",
                        "slot " + name + " keeps rows of the catalogs from VACUUM for " +
                            std::to_string(burden.slot_age) + " transactions; it is held by: " + what_holds(sql),
                        "end what holds it: SELECT pg_terminate_backend(pid), or ROLLBACK PREPARED 'gid'"});
  if (burden.snapshot_age > alarm)
    problems.push_back({"TR137",
                        "a copy or comparison of ours keeps old rows of all tables from VACUUM for " +
                            std::to_string(burden.snapshot_age) + " transactions",
                        "let it end sooner: raise snapshot.parallel or snapshot.rows_per_second, or stop it"});
  return problems;
}

}  // namespace tailrace::postgres
