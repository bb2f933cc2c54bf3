#include "sources/postgres/gap.h"

#include <utility>
#include <vector>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "sources/postgres/preflight_rules.h"
#include "sources/postgres/publication.h"

namespace tailrace::postgres {

bool slot_is_lost(const std::optional<SlotState>& slot) {
  return !slot || slot->wal_status == "lost" || !slot->invalidated_by.empty();
}

SourceFacts GapBridge::bridge(const SourceFacts& facts, const std::optional<SlotState>& slot, bool accepted,
                              std::stop_token stop) {
  TransactionLog& log = ground_.log;
  SourceFacts now = facts;
  // The epoch may have begun before a process died: then the log ends where the new slot begins.
  if (now.next_epoch != 0 && log.end().epoch >= now.next_epoch) {
    now.consistent_point = log.end().commit_end;
    now.next_epoch = 0;
  }
  if (now.next_epoch == 0 && (!accepted || !slot_is_lost(slot))) return now;
  if (now.next_epoch == 0) {
    if (ground_.spec.adopt_slot)
      throw RefusedError("TR142", "replication slot \"" + facts.slot + "\" is lost, and it was made by somebody else",
                         "start a new pipeline with a slot of its own, or one that is made anew, and a copy");
    now.next_epoch = log.end().epoch + 1;
    ground_.remember(now);
    TAILRACE_CRASH_POINT("source.gap_accepted");
  }
  const Lsn end = log.end().commit_end;
  const Lsn begin = make_slot(std::move(stop));
  TAILRACE_CRASH_POINT("source.gap_slot_made");
  // Behind a log that holds nothing there is no gap.
  if (end.valid()) log.raise_epoch(begin);
  TAILRACE_CRASH_POINT("source.gap_logged");
  log::warn("source.gap",
            "the slot was lost: what was committed from {} to {} will not come through the stream; the tables are "
            "copied again beside it",
            end.str(), begin.str());
  now.consistent_point = begin;
  now.next_epoch = 0;
  // Of a slot that is there no more.
  now.adopted_until = Lsn();
  return now;
}

Lsn GapBridge::make_slot(std::stop_token stop) {
  Connection& sql = ground_.sql;
  const SourceSpec& spec = ground_.spec;
  const std::vector<Candidate> tables = find_candidates(sql, spec.tables);
  refuse_errors(examine(sql, spec, tables, true));
  const std::vector<std::string> publications = existing_publications(sql, spec);
  if (publications.empty() || publications.front() != spec.publication)
    throw RefusedError("TR119", "publication \"" + spec.publication + "\" does not exist any more",
                       publication_sql(sql, spec, tables));
  // The lost one, or one that a process made which died before it wrote it into the log: nothing was read from it.
  drop_unfinished_slot(sql, spec.slot);
  return create_slot(ground_.replication, spec.slot, std::move(stop), ground_.waiting).consistent_point;
}

}  // namespace tailrace::postgres
