#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/lsn.h"

namespace tailrace::postgres {

/// What is remembered of a source over restarts: which history is followed, through which slot, and how far it was
/// acknowledged. A value.
struct SourceFacts {
  std::uint64_t system_identifier = 0;
  std::uint32_t timeline = 0;
  Oid database;
  std::string slot;
  std::string publication;
  /// Where the slot begins. 0: the slot was about to be made when this was saved, and may or may not exist; nothing
  /// was read from it.
  Lsn consistent_point;
  /// What PostgreSQL was told is durable here, as last remembered: at most some seconds behind.
  Lsn acknowledged;
  /// Options of START_REPLICATION: they decide how transactions are cut into messages.
  int protocol = 0;
  bool streaming = false;
  /// What the publications held when the slot was made (describe_publication()).
  std::string published;
  /// Of a slot that was adopted: AdoptedSlot::adopted_until.
  Lsn adopted_until;
  /// The cluster that pg_upgrade made of the one with that system_identifier, which still names the history; or 0.
  std::uint64_t upgraded_to = 0;
  /// What the tables were when the log was last told of them (TableNumbers::str()).
  std::string tables;
  /// A gap behind the log's end was accepted, and the log's epoch is to rise to this one; 0: none.
  std::uint32_t next_epoch = 0;
  /// The publications that were made for this pipeline, remembered before they were there: all others are somebody
  /// else's. Nothing where an older version made the slot and did not remember it.
  std::optional<std::vector<Oid>> made_publications;

  bool operator==(const SourceFacts&) const = default;
};

/// Keeps SourceFacts on durable storage; the pipeline's catalog implements it. Source thread only.
class SourceMemory {
 public:
  virtual ~SourceMemory() = default;
  /// Nothing when this source was never prepared.
  virtual std::optional<SourceFacts> load() = 0;
  /// Durable on return.
  virtual void save(const SourceFacts& facts) = 0;
};

}  // namespace tailrace::postgres
