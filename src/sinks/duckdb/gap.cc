// How a target goes on behind changes that are missing from the log (docs/server-life.md, "A lost slot").

#include <fmt/format.h>

#include "base/crash_point.h"
#include "base/log.h"
#include "sinks/duckdb/sink_state.h"

namespace tailrace::duckdb {

void DuckdbSink::State::begin_epoch(const Cursor& at) {
  const Position end = pending_.position;
  begin();
  try {
    for (const auto& [name, table] : tables_) {
      if (table->hold && !table->hold->mended_by_copy()) continue;
      if (spec_.wanted && !spec_.wanted(name.first, name.second)) {
        hold_left_out(*table, end);
        continue;
      }
      if (table->hold && table->hold->code == kNeverCopied) continue;
      // Also where it was held before and waits for a copy: its history ends where the log did.
      table->hold = std::make_unique<Hold>(
          Hold{kBehindGap,
               fmt::format("what was committed from {} to {} never came, so it is not exact until it has been copied",
                           end.commit_end.str(), at.position.commit_end.str()),
               end});
      tables_on_disk_->write_hold(*table, PgTime::now());
    }
  } catch (...) {
    roll_back();
    throw;
  }
  TAILRACE_CRASH_POINT("duckdb.epoch_begun");
  pending_ = at;
}

}  // namespace tailrace::duckdb
