#include "base/table_patterns.h"

#include <algorithm>

namespace tailrace {
namespace {

/// Only the last `*` is ever tried again: what an earlier one could take instead, the last one can take, too.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

}  // namespace

TablePatterns::TablePatterns(const std::vector<std::string>& patterns) {
  for (std::string_view text : patterns) {
    Pattern pattern;
    pattern.takes_away = text.starts_with('!');
    if (pattern.takes_away) text.remove_prefix(1);
    const auto dot = text.find('.');
    pattern.schema = dot == std::string_view::npos ? "public" : text.substr(0, dot);
    pattern.table = dot == std::string_view::npos ? text : text.substr(dot + 1);
    patterns_.push_back(std::move(pattern));
  }
}

bool TablePatterns::match(std::string_view schema, std::string_view table) const {
  const auto decides = std::find_if(patterns_.rbegin(), patterns_.rend(), [&](const Pattern& pattern) {
    return matches(pattern.schema, schema) && matches(pattern.table, table);
  });
  if (decides != patterns_.rend()) return !decides->takes_away;
  return std::ranges::all_of(patterns_, &Pattern::takes_away);
}

bool TablePatterns::names_one_table(std::string_view pattern) {
  return !pattern.starts_with('!') && pattern.find_first_of("*?") == std::string_view::npos;
}

}  // namespace tailrace
