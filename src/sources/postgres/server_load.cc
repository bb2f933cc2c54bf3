#include "sources/postgres/server_load.h"

#include "base/error.h"
#include "base/log.h"
#include "sources/postgres/standby.h"
#include "sources/postgres/stop_signal.h"

namespace tailrace::postgres {
namespace {

using std::chrono::milliseconds;

constexpr const char* kLookingAtLoad = "looking at the server's load";
constexpr milliseconds kLookEvery{500};
constexpr milliseconds kLookStep{100};
constexpr milliseconds kLongestWait{5000};

}  // namespace

bool sees_server_load(Connection& sql) {
  return sql.query("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')", kLookingAtLoad).flag(0, 0);
}

std::string server_load_remedy(Connection& sql) {
  return "GRANT pg_read_all_stats TO " + sql.quoted_name(sql.query("SELECT current_user", kLookingAtLoad).at(0, 0)) +
         "; -- or take the bound away";
}

std::unique_ptr<ServerLoad> ServerLoad::make(const SourceSpec& spec) {
  if (spec.copy_max_active_sessions == 0 && spec.copy_max_replica_lag == 0) return nullptr;
  return std::make_unique<ServerLoad>(spec);
}

void ServerLoad::wait(sources::CopyProgress& progress, const std::stop_token& stop) {
  const auto until = SteadyClock::now() + kLongestWait;
  while (!stop.stop_requested() && too_much(stop) && SteadyClock::now() < until) {
    progress.waits_for_server = true;
    StopSignal(stop).sleep_for_ms(static_cast<int>(kLookStep.count()));
  }
  progress.waits_for_server = false;
}

bool ServerLoad::too_much(const std::stop_token& stop) {
  const std::lock_guard lock(mutex_);
  const auto now = SteadyClock::now();
  if (now - looked_ < kLookEvery) return too_much_;
  looked_ = now;
  try {
    too_much_ = look(stop);
  } catch (const RetryError& error) {
    connection_.reset();
    log::warn("copy.load", "{} [{}]", error.what(), error.code());
  } catch (const ReconnectError& error) {
    connection_.reset();
    log::warn("copy.load", "{} [{}]", error.what(), error.code());
  }
  return too_much_;
}

bool ServerLoad::look(const std::stop_token& stop) {
  if (!connection_) {
    auto made = Connection::open(spec_, ConnectionKind::kSql, stop);
    made->give_up_on(stop);
    if (!sees_server_load(*made)) throw RefusedError("TR140", kServerLoadHidden, server_load_remedy(*made));
    connection_ = std::move(made);
  }
  // Our own sessions are known by their name. Who waits for his client gives the server nothing to do.
  const Rows rows = connection_->query(
      "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = 'active' AND "
      "wait_event_type IS DISTINCT FROM 'Client' AND application_name <> current_setting('application_name')), "
      "(SELECT COALESCE(max(pg_wal_lsn_diff(" +
          std::string(kWalEnd) +
          ", COALESCE(replay_lsn, flush_lsn, write_lsn, sent_lsn))), 0)::bigint FROM pg_stat_replication WHERE "
          "application_name <> current_setting('application_name'))",
      kLookingAtLoad);
  const std::int64_t active = rows.number(0, 0);
  const std::int64_t lag = rows.number(0, 1);
  const bool busy = spec_.copy_max_active_sessions > 0 && active > spec_.copy_max_active_sessions;
  const bool behind = spec_.copy_max_replica_lag > 0 && lag > static_cast<std::int64_t>(spec_.copy_max_replica_lag);
  if ((busy || behind) != too_much_)
    log::info("copy.load", "{}: {} other sessions at work, {} bytes of replica lag",
              busy || behind ? "the copy waits for the server" : "the copy goes on", active, lag);
  return busy || behind;
}

}  // namespace tailrace::postgres
