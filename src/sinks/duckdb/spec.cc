#include "sinks/duckdb/spec.h"

#include "base/table_patterns.h"

namespace tailrace::duckdb {

bool keeps_history(const DuckdbSpec& spec, const std::string& schema, const std::string& table) {
  return !spec.history.empty() && TablePatterns(spec.history).match(schema, table);
}

}  // namespace tailrace::duckdb
