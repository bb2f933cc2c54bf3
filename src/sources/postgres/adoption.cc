#include "sources/postgres/adoption.h"

#include <chrono>
#include <thread>

#include "base/error.h"
#include "sources/postgres/standby.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kTakingOver = "taking the slot over";

/// Waits until none of the transactions that are prepared now is there any more.
void wait_for_prepared(Connection& sql, const std::stop_token& stop, const std::function<void()>& waiting) {
  constexpr int kTriesPerReport = 10;
  const auto prepared = [&] {
    return sql.query("SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()", kTakingOver);
  };
  const Rows then = prepared();
  for (int tries = 1; !then.empty(); ++tries) {
    const Rows now = prepared();
    bool left = false;
    for (std::size_t i = 0; i < now.size(); ++i)
      for (std::size_t k = 0; k < then.size(); ++k) left = left || now.at(i, 0) == then.at(k, 0);
    if (!left) return;
    if (stop.stop_requested())
      throw RetryError("TR127", "stopped while waiting for prepared transactions to end", "start again");
    if (tries % kTriesPerReport == 0) waiting();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace

std::optional<std::string> reason_not_to_adopt(Connection& sql, const std::optional<SlotState>& slot) {
  if (!slot) return "it does not exist";
  if (slot->plugin != "pgoutput") return "it is of plugin " + slot->plugin;
  if (slot->temporary) return "it is temporary";
  if (slot->active_pid != 0) return "process " + std::to_string(slot->active_pid) + " is reading from it";
  if (slot->wal_status == "lost") return "it is lost";
  if (slot->database != sql.query("SELECT current_database()", kTakingOver).at(0, 0))
    return "it is of database " + slot->database;
  return std::nullopt;
}

AdoptedSlot adopt_slot(Connection& sql, const SourceSpec& spec, std::stop_token stop,
                       const std::function<void()>& waiting) {
  const auto slot = read_slot(sql, spec.slot);
  if (const std::optional<std::string> reason = reason_not_to_adopt(sql, slot))
    throw RefusedError("TR111", "slot \"" + spec.slot + "\" cannot be taken over: " + *reason,
                       "name a slot of pgoutput that nobody reads");
  AdoptedSlot adopted;
  adopted.confirmed = slot->confirmed;
  if (!slot->two_phase) return adopted;
  wait_for_prepared(sql, stop, waiting);
  adopted.adopted_until = sql.query(std::string("SELECT ") + kWalEnd, kTakingOver).lsn(0, 0);
  return adopted;
}

}  // namespace tailrace::postgres
