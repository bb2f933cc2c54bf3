#include "sources/postgres/spec.h"

#include <algorithm>

namespace tailrace::postgres {
namespace {

bool glob(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t]) && pattern[p] != '*') {
      ++p;
      ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

bool is_exclusion(const std::string& pattern) { return pattern.starts_with('!'); }

}  // namespace

bool table_matches(const std::vector<std::string>& patterns, std::string_view schema, std::string_view table) {
  std::string name(schema);
  name += '.';
  name += table;
  bool wanted = std::ranges::all_of(patterns, is_exclusion);
  for (const std::string& pattern : patterns) {
    std::string_view body = pattern;
    if (is_exclusion(pattern)) body.remove_prefix(1);
    // A bare name means that table in schema public, as psql users expect.
    const bool bare = body.find('.') == std::string_view::npos;
    const bool matches = bare ? schema == "public" && glob(body, table) : glob(body, name);
    if (matches) wanted = !is_exclusion(pattern);
  }
  return wanted;
}

}  // namespace tailrace::postgres
