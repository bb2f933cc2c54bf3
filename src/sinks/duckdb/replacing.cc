// A damaged target is replaced by what can be made of it.

#include <fmt/format.h>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "sinks/duckdb/sink_state.h"

namespace tailrace::duckdb {

sinks::SetAside DuckdbSink::State::set_aside() {
  close();
  if (Database::is_open(spec_.path))
    throw RetryError("TR601", fmt::format("{} is held by a query", spec_.path.string()),
                     "it is set aside as soon as the query is done");
  if (spec_.history.empty()) {
    faults_.clear();
    return {move_aside(spec_.path, "damaged").string(), "all tables are copied anew"};
  }
  if (!safety_)
    throw CorruptionError(
        "TR605",
        fmt::format("{} is damaged, and a new copy would not have the history that is in it", spec_.path.string()),
        "look what can be read of it; then move the file away (and its .wal): the next start copies all tables and "
        "begins a new history");
  const Position at = make_restored(spec_);
  TAILRACE_CRASH_POINT("duckdb.restored");
  const std::string kept = move_aside(spec_.path, "damaged").string();
  TAILRACE_CRASH_POINT("duckdb.damaged_set_aside");
  take_restored(spec_.path);
  faults_.clear();
  return {kept, fmt::format("its histories were made again from their safety as of {}, and the log goes on from there",
                            at.str())};
}

std::optional<Position> DuckdbSink::State::keeps_from() const { return safety_ ? safety_->safe_up_to() : std::nullopt; }

/// What fails here is tried again later, and keeps no row from the target meanwhile.
void DuckdbSink::State::export_histories(SteadyClock::time_point now) {
  try {
    safety_->write(*connection_, *durable_, now);
  } catch (const InternalFault&) {
    throw;
  } catch (const RetryError& error) {
    log::warn("duckdb.safety", "{} [{}]", error.what(), error.code());
  } catch (const RefusedError& error) {
    log::warn("duckdb.safety", "{} [{}]", error.what(), error.code());
  }
}

}  // namespace tailrace::duckdb
