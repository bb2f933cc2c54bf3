#include "sinks/duckdb/spec.h"

#include <string_view>

namespace tailrace::duckdb {
namespace {

bool matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.front() == '*') {
    for (std::size_t n = 0; n <= text.size(); ++n)
      if (matches(pattern.substr(1), text.substr(n))) return true;
    return false;
  }
  return !text.empty() && pattern.front() == text.front() && matches(pattern.substr(1), text.substr(1));
}

}  // namespace

bool keeps_history(const DuckdbSpec& spec, const std::string& schema, const std::string& table) {
  const std::string name = schema + "." + table;
  bool kept = false;
  for (std::string_view pattern : spec.history) {
    const bool takes_away = !pattern.empty() && pattern.front() == '!';
    if (takes_away) pattern.remove_prefix(1);
    if (matches(pattern, name)) kept = !takes_away;
  }
  return kept;
}

}  // namespace tailrace::duckdb
