#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "sinks/duckdb/sink_state.h"

namespace tailrace::duckdb {
namespace {

// What DuckDB 1.5 holds, and cannot move to its temporary file, for each table that a transaction writes to (measured:
// docs/duckdb-soak.md). For rows that go: the ids of who deleted them, in a buffer that fits fifteen times 2,048 rows
// and is made whole. For rows that come: the first segments of their columns, for 2,048 rows, and of which are null.
constexpr std::uint64_t kForOldRows = 256 << 10;
constexpr std::uint64_t kForColumn = 56 << 10;

std::uint64_t memory_of_written_table(const TableBatch& batch, const TableShape& shape) {
  const std::uint64_t tables = shape.history ? 2 : 1;
  return tables * (kForColumn * shape.width() + (batch.writes_old_rows() ? kForOldRows : 0));
}

}  // namespace

void DuckdbSink::State::provide_memory(const std::vector<std::unique_ptr<TableBatch>>& batches) {
  for (const auto& batch : batches)
    if (batch->writes()) memory_.hold(batch->shape().relation->oid, memory_of_written_table(*batch, batch->shape()));
  const std::uint64_t factor = memory_.factor_needed();
  if (factor == 0) return;
  const std::string what =
      fmt::format("{} tables take part in what was not yet written for good, and DuckDB holds about {} MiB for them",
                  memory_.written_tables(), memory_.held() >> 20);
  if (!MemoryBudget::allowed(factor))
    throw RetryError("TR607", fmt::format("{}: more than sixteen times its share of limits.memory", what),
                     fmt::format("raise limits.memory to {} times what it is", memory_.times_missing()));
  const std::uint64_t limit = memory_.raise(factor);
  connection_->run(fmt::format("SET memory_limit = '{}B'", limit));
  log::warn("duckdb.memory", "{}: it may use {} MiB instead of {} MiB until they are", what, limit >> 20,
            memory_.given() >> 20);
}

/// After a checkpoint, which needs most: what was raised for it is not needed any more.
void DuckdbSink::State::restore_memory() {
  if (!memory_.raised()) return;
  try {
    connection_->run(fmt::format("SET memory_limit = '{}B'", memory_.given()));
    memory_.restored();
  } catch (const OutOfMemory& error) {
    log::info("duckdb.memory", "{}", error.what());  // too much is in use: after the next one
  }
}

}  // namespace tailrace::duckdb
