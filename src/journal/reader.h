#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>

#include "model/change_batch.h"

namespace tailrace::journal {

/// How large a batch may become. A transaction beyond either figure is a giant and is given in parts.
struct BatchLimits {
  std::uint64_t max_changes = 200'000;
  /// Bytes of the source's messages.
  std::uint64_t max_bytes = 48ULL << 20;
};

/// One sink's way through the journal: the durable transactions behind its cursor, in Position order. Made by
/// Journal::reader and owned by its user; it must not outlive the journal. One thread at a time, any thread.
class Reader {
 public:
  virtual ~Reader() = default;

  /// What is durable and not yet given, cut between transactions: at least one transaction, at most what the limits
  /// allow; or one part of a giant; or progress only (a batch without transactions whose `end` has moved). It never
  /// waits for more than that. Null when nothing became durable within `max_wait` or a stop was requested.
  /// A cursor inside a giant is as good as one before it: its first part comes again.
  /// Throws CorruptionError, naming segment and offset, when the journal is damaged.
  virtual ChangeBatchPtr next(const BatchLimits& limits, std::stop_token stop, std::chrono::milliseconds max_wait) = 0;
};

}  // namespace tailrace::journal
