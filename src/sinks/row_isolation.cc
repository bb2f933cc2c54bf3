#include "sinks/row_isolation.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace tailrace::sinks {
namespace {

/// From so many refused rows on, and when most of what was tried is refused, it is the target that is wrong.
constexpr std::size_t kManyRefused = 50;

}  // namespace

void RowIsolation::take_apart(RowWriter& writer, std::vector<RowChange> changes, const RowsRefused& refusal) {
  refused_ = 0;
  written_ = 0;
  // Throws where it is not the rows that are refused.
  writer.write({}, {});
  split(writer, std::move(changes), refusal);
}

void RowIsolation::write(RowWriter& writer, std::vector<RowChange> changes) {
  if (hands_.lay_down_follower) std::erase_if(changes, hands_.lay_down_follower);
  if (changes.empty()) return;
  std::optional<RowsRefused> refusal;
  try {
    writer.write(changes, {});
  } catch (const RowsRefused& refused) {
    refusal = refused;
  }
  if (refusal) return split(writer, std::move(changes), *refusal);
  written_ += changes.size();
  landed();
}

void RowIsolation::split(RowWriter& writer, std::vector<RowChange> changes, const RowsRefused& refusal) {
  if (!refusal.refused().empty() || !refusal.written().empty()) return take_out(writer, std::move(changes), refusal);
  if (changes.size() == 1) {
    count(1, 0, refusal);
    return hands_.lay_down(changes.front(), refusal.what());
  }
  const auto middle = changes.begin() + static_cast<std::ptrdiff_t>(changes.size() / 2);
  write(writer, {changes.begin(), middle});
  write(writer, {middle, changes.end()});
}

void RowIsolation::take_out(RowWriter& writer, std::vector<RowChange> changes, const RowsRefused& refusal) {
  count(refusal.refused().size(), refusal.written().size(), refusal);
  std::vector<bool> settled(changes.size(), false);
  for (const std::size_t at : refusal.written()) settled.at(at) = true;
  for (const RowsRefused::Row& row : refusal.refused()) {
    settled.at(row.at) = true;
    hands_.lay_down(changes.at(row.at), row.reason);
  }
  std::vector<RowChange> rest;
  for (std::size_t at = 0; at < changes.size(); ++at)
    if (!settled[at]) rest.push_back(changes[at]);
  write(writer, std::move(rest));
}

void RowIsolation::count(std::size_t refused, std::size_t written, const RowsRefused& refusal) {
  refused_ += refused;
  written_ += written;
  if (written > 0) in_a_row_ = 0;
  in_a_row_ += refused;
  const bool mostly = refused_ >= kManyRefused && refused_ > written_;
  if (!mostly && in_a_row_ < kManyRefused) return;
  throw RetryError("TR806", fmt::format("{} refuses nearly every row: {}", display_, refusal.what()),
                   "look at the target's own log; what was refused now became no dead letter");
}

}  // namespace tailrace::sinks
