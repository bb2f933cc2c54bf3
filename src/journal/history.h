#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "model/position.h"
#include "model/transaction_log.h"

namespace tailrace::journal {

/// The last commits of the log, kept through trim and restart: each new segment begins with them. Source thread only.
class History {
 public:
  explicit History(std::size_t limit) : limit_(limit) {}

  void add(std::uint32_t epoch, const LoggedCommit& commit);
  /// In that epoch.
  std::optional<LoggedCommit> find(std::uint32_t epoch, Lsn end) const;
  /// The n-th last of that epoch (1 = last), its oldest when there are fewer; 0 when there is none.
  Lsn nth_last(std::uint32_t epoch, std::size_t n) const;

  /// The commits at or below `last`, as a HISTORY frame holds them.
  std::string encode(const Position& last) const;
  /// Replaces everything by what encode() gave. Throws OutOfBytes.
  void decode(ByteView bytes);

 private:
  struct Entry {
    std::uint32_t epoch;
    LoggedCommit commit;
  };
  std::size_t limit_;
  std::deque<Entry> entries_;
};

}  // namespace tailrace::journal
