#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "model/snapshot.h"
#include "sources/postgres/connection.h"

namespace tailrace::postgres {

/// Begins a REPEATABLE READ, READ ONLY transaction on `sql` and takes its snapshot, tied to the WAL: all that the
/// snapshot contains was committed before Fence::end. The transaction stays open; "COMMIT" ends it.
Fence begin_fence(Connection& sql);

/// The same under a snapshot that another transaction exported.
Fence begin_fence_on(Connection& sql, const std::string& exported_snapshot);

/// A fence whose snapshot contains every transaction of this database whose commit record was in the WAL at the call:
/// asks again until all that had an id then have ended, since a commit may be in the WAL, and streamed, long before it
/// is visible. Calls `waiting` about once a second meanwhile. Throws RetryError (TR127) when stopped.
Fence begin_settled_fence(Connection& sql, std::stop_token stop, const std::function<void()>& waiting);

/// Reads the rows of `relation` whose key is one of `keys`: tuples of the relation's match_key() columns in that order,
/// all values present. Takes ACCESS SHARE first and the snapshot afterwards, so nothing that the snapshot lacks can
/// have rewritten the table in between. Throws RetryError when the lock is not to be had soon, or (TR121) when the
/// table is no longer as `relation` says; after any throw `sql` is of no more use.
FencedRows read_keys(Connection& sql, const RelationPtr& relation, const std::vector<std::string>& keys);

}  // namespace tailrace::postgres
