#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/lsn.h"

namespace tailrace {

/// The only identity and the only order of a change: which history of the source, which commit, which change in it.
/// A value. The end LSN of a commit may equal the first LSN of the next transaction; it is an end, never a start.
/// Ordinals count insert, update, delete, message and each relation of a truncate from 0, after aborted
/// sub-transactions are removed and before any filter of ours.
struct Position {
  /// Number of the source history; rises when history forks or a gap is accepted. The first one is 1.
  std::uint32_t epoch = 0;
  /// End LSN of the commit record.
  Lsn commit_end;
  std::uint64_t ordinal = 0;

  constexpr auto operator<=>(const Position&) const = default;

  /// "1:0/16B3748:12".
  std::string str() const;
  /// Reads what str() wrote; nothing when the text is anything else.
  static std::optional<Position> parse(std::string_view text);
};

}  // namespace tailrace
