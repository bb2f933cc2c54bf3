#pragma once

#include <optional>

#include "model/transaction_log.h"
#include "sources/postgres/slot.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

/// Which cluster is followed, by its identifier: the first one, or what pg_upgrade made of it.
std::uint64_t followed_cluster(const SourceFacts& facts);

/// When `server` is another cluster than the one that is followed, but looks as pg_upgrade makes it of that one (the
/// same database and tables by their oids, a slot of that name, WAL that goes on behind the log's end), and the user
/// said that it is: brings the log to the slot's place and gives the facts as they are then, to be saved. From 17 on
/// pg_upgrade takes a slot along only when all had been received from it. Gives nothing when there is nothing to
/// decide, also for a cluster that is a stranger. Throws RefusedError (TR139) when the user has not said so.
std::optional<SourceFacts> follow_upgrade(Connection& sql, const ServerIdentity& server, const SourceSpec& spec,
                                          const SourceFacts& facts, TransactionLog& log);

}  // namespace tailrace::postgres
