#pragma once

#include <deque>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>

#include "base/time.h"
#include "sinks/damaged_target.h"
#include "sinks/duckdb/handle.h"

namespace tailrace::duckdb {

/// Whether a message of DuckDB says that its file is damaged: a checksum, a length or a structure that does not fit.
/// See docs/damaged-target.md.
bool speaks_of_damage(std::string_view message);

/// Moves a DuckDB file and what lies beside it (its logs) to `<file>.<why>-<UTC time>` and deletes its temporary
/// files; gives the new name. The logs go first: a file without its log is an older state of itself, a log without its
/// file would be replayed into the next one. Nobody in this process may have it open.
/// Throws RetryError when it cannot be moved.
std::filesystem::path move_aside(const std::filesystem::path& file, std::string_view why);

/// Errors inside DuckDB. One may pass when the file is opened again; if they come again and again it is the file.
/// Owned by the sink; any thread.
class FaultCount {
 public:
  /// Does what `call` does; the third InternalFault within ten minutes becomes DamagedTarget.
  template <typename Call>
  decltype(auto) watch(Call call) {
    try {
      return call();
    } catch (const InternalFault& fault) {
      if (too_many(SteadyClock::now()))
        throw sinks::DamagedTarget("TR605", std::string("DuckDB fails inside, again and again: ") + fault.what(),
                                   "move the file away and let Tailrace copy the tables again");
      throw;
    }
  }
  /// Notes one more.
  bool too_many(SteadyClock::time_point now);
  void clear();

 private:
  std::mutex mutex_;
  std::deque<SteadyClock::time_point> faults_;  // guarded by mutex_
};

}  // namespace tailrace::duckdb
