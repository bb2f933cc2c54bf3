#include "model/snapshot.h"

#include <fmt/format.h>

#include <charconv>

namespace tailrace {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || text.empty()) return std::nullopt;
  return value;
}

/// The 64-bit id nearest to `near` whose low half is `low`.
std::uint64_t widen(std::uint32_t low, std::uint64_t near) {
  const auto distance = static_cast<std::int32_t>(low - static_cast<std::uint32_t>(near));
  return near + static_cast<std::uint64_t>(static_cast<std::int64_t>(distance));
}

}  // namespace

std::optional<SnapshotXids> SnapshotXids::parse(std::string_view text) {
  const auto first = text.find(':');
  const auto second = first == std::string_view::npos ? first : text.find(':', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto xmin = number(text.substr(0, first));
  const auto xmax = number(text.substr(first + 1, second - first - 1));
  if (!xmin || !xmax) return std::nullopt;
  SnapshotXids out;
  out.xmin_ = *xmin;
  out.xmax_ = *xmax;
  std::string_view list = text.substr(second + 1);
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    const auto xid = number(list.substr(0, comma));
    if (!xid) return std::nullopt;
    out.in_progress_.push_back(*xid);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  std::ranges::sort(out.in_progress_);
  return out;
}

std::string SnapshotXids::str() const { return fmt::format("{}:{}:{}", xmin_, xmax_, fmt::join(in_progress_, ",")); }

bool SnapshotXids::contains(Xid xid) const {
  const std::uint64_t full = widen(xid.value(), xmax_);
  if (full < xmin_) return true;
  if (full >= xmax_) return false;
  return !std::ranges::binary_search(in_progress_, full);
}

}  // namespace tailrace
