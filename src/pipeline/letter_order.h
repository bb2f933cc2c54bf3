#pragma once

#include <cstdint>
#include <vector>

#include "sinks/letter_replay.h"

namespace tailrace::pipeline {

/// Dead letters of one sink that are to be changes again. What else waits for the same rows follows them.
struct LetterOrder {
  /// Their numbers; not empty.
  std::vector<std::uint64_t> ids;
  /// For each of them.
  std::vector<sinks::ColumnEdit> edits = {};
  /// Everything is tried and nothing written.
  bool rehearsal = false;
};

/// What came of it.
struct LettersReplayed {
  std::uint64_t replayed = 0;
  /// Later changes of the same rows, which the order did not name.
  std::uint64_t followed = 0;
  /// Letters of these rows that are older than what the target has; they stay.
  std::uint64_t superseded = 0;
};

}  // namespace tailrace::pipeline
