#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tailrace {

/// Some of a table's pages at the source, in the order in which they are stored. A value.
struct PageRange {
  std::uint64_t first = 0;
  /// The page behind the last one.
  std::uint64_t end = 0;

  bool operator==(const PageRange&) const = default;
};

/// What lies between and before `ranges`, and, as the last one, what lies behind them all up to `end` (empty where that
/// is not behind).
inline std::vector<PageRange> pages_besides(std::vector<PageRange> ranges, std::uint64_t end) {
  std::ranges::sort(ranges, {}, &PageRange::first);
  std::vector<PageRange> out;
  std::uint64_t next = 0;
  for (const PageRange& range : ranges) {
    if (range.first > next) out.push_back({next, range.first});
    next = std::max(next, range.end);
  }
  out.push_back({next, std::max(next, end)});
  return out;
}

}  // namespace tailrace
