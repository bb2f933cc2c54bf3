#pragma once

#include <functional>
#include <optional>
#include <stop_token>

#include "model/transaction_log.h"
#include "sources/postgres/slot.h"
#include "sources/postgres/source_memory.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

/// Whether nothing more will ever come through the slot: it is gone, or the server gave it up.
bool slot_is_lost(const std::optional<SlotState>& slot);

/// Goes on behind changes that will never come, since their slot is lost (docs/server-life.md, "A lost slot"): makes a
/// new slot and begins a new epoch of the log at its place. Lives on the stack of the source's thread; all it refers to
/// outlives it.
class GapBridge {
 public:
  /// Both connections are to the server that was found to continue what the log holds.
  struct Ground {
    Connection& replication;
    Connection& sql;
    const SourceSpec& spec;
    TransactionLog& log;
    /// Makes facts durable.
    std::function<void(const SourceFacts&)> remember;
    /// Called about once a second while the new slot waits for transactions to end.
    std::function<void()> waiting;
  };
  explicit GapBridge(Ground ground) : ground_(std::move(ground)) {}

  /// `facts` where nothing is to be bridged: the slot is there, or `accepted` is false and nothing was accepted before.
  /// Else the facts with which streaming goes on, to be remembered; a process that dies on the way does so at its next
  /// start. Throws RefusedError: TR142 for a slot that somebody else made, what a first start would (rights, tables,
  /// publication); RetryError while the old slot is in use (TR112) or on a stop request (TR127).
  SourceFacts bridge(const SourceFacts& facts, const std::optional<SlotState>& slot, bool accepted,
                     std::stop_token stop);

 private:
  Lsn make_slot(std::stop_token stop);

  const Ground ground_;
};

}  // namespace tailrace::postgres
