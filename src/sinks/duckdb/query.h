#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/lsn.h"
#include "base/time.h"

namespace tailrace::duckdb {

enum class QueryFormat : std::uint8_t { kTable, kCsv, kJson, kJsonLines, kParquet };

/// The moment a query looks at: commits up to and including `time` or `lsn`. One of them is set.
struct AsOf {
  std::optional<PgTime> time;
  std::optional<Lsn> lsn;
};

/// One question. A value.
struct QueryRequest {
  std::string sql;
  QueryFormat format = QueryFormat::kTable;
  /// Every table with history is then what it was at that moment; tables without are not to be seen.
  std::optional<AsOf> as_of;
};

/// Takes the answer piece by piece, in the order of the bytes.
using QueryOutput = std::function<void(std::string_view)>;

/// One question to a DuckDB target. Shares the file with a sink of this process, or opens it read-only. It cannot
/// change anything: one SELECT (or EXPLAIN), run in a read-only transaction. Any thread makes one, uses it and destroys
/// it; interrupt() may come from another.
class DuckdbQuery {
 public:
  /// Throws RetryError (TR601) when another process holds the file, RefusedError when there is none.
  explicit DuckdbQuery(const std::filesystem::path& path);
  ~DuckdbQuery();
  DuckdbQuery(const DuckdbQuery&) = delete;
  DuckdbQuery& operator=(const DuckdbQuery&) = delete;

  /// Throws BadConfigError for what is not a question or what DuckDB does not understand, RetryError (TR622) after an
  /// interrupt().
  void run(const QueryRequest& request, const QueryOutput& output);
  void interrupt();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace tailrace::duckdb
