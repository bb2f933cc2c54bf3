#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "model/change_batch.h"
#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/safety_files.h"
#include "sinks/duckdb/spec.h"

namespace tailrace::duckdb {

/// The safety of a target's histories: Parquet files beside the DuckDB file, from which histories, the mirrors of their
/// tables and the schema `tailrace` are made again as of the last export's cursor; the log has what follows.
/// See docs/damaged-target.md. Owned by the sink, used by its thread.
class HistorySafety {
 public:
  explicit HistorySafety(const DuckdbSpec& spec);

  /// Finds out what is exported already. A target that is new, or older than the last export, begins a new safety; the
  /// former one is kept under another name. Never throws for a damaged safety: that one is kept aside, too.
  void open(Connection& connection, const std::optional<Cursor>& cursor);
  /// Whether it is time for the next export of a target at `cursor`. `hurried`: the log waits for it.
  bool due(const Cursor& cursor, SteadyClock::time_point now, bool hurried) const;
  /// Exports what changed since the last time. REQUIRES: no transaction is open, and `cursor` is the target's.
  /// Throws what DuckDB throws, RetryError TR628; the next attempt comes later then.
  void write(Connection& connection, const Cursor& cursor, SteadyClock::time_point now);

  /// Up to where the histories are safe.
  std::optional<Position> safe_up_to() const;
  /// Why the last export failed; empty when it did not.
  const std::string& failure() const { return failure_; }

 private:
  using Name = std::pair<std::string, std::string>;
  /// What stands in the exports of one history table.
  struct Known {
    std::uint64_t open = 0;
    std::uint64_t closed = 0;
    /// Columns with their types, as CREATE TABLE takes them.
    std::string columns;
  };

  void begin_anew(const char* why);
  void write_part(Connection& connection, const std::filesystem::path& part, SafetyExport& made,
                  std::map<Name, Known>& known);
  /// Whether there was something to write.
  bool write_table(Connection& connection, const std::filesystem::path& file, const Name& name, bool whole,
                   std::uint64_t mark, Known& known, bool& is_base);

  const DuckdbSpec spec_;
  const std::filesystem::path root_;
  std::vector<SafetyExport> exports_;
  std::map<Name, Known> known_;
  std::optional<SteadyClock::time_point> last_try_;
  std::string failure_;
};

/// Makes a DuckDB file beside spec.path from its safety, for take_restored(). Tables without history are noted in it as
/// lost, to be copied anew. Gives the cursor it is at. Throws CorruptionError TR627 when there is no whole safety.
Position make_restored(const DuckdbSpec& spec);
/// Where there is no file at `path`, puts the one there that make_restored() made.
void take_restored(const std::filesystem::path& path);

}  // namespace tailrace::duckdb
