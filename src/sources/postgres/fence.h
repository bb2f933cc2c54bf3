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

/// Writes a message that concerns nobody, so that the stream soon passes what is in the WAL now. Does nothing where the
/// server refuses that.
void nudge(Connection& sql);
/// The end of the WAL, which the stream will soon have passed.
Lsn ask_current_end(Connection& sql);

/// Ids of the transactions, and of their sub-transactions, that have not ended. A commit record that is in the WAL, and
/// whose transaction is none of them, is visible from now on.
std::vector<Xid> running_transactions(Connection& sql);

/// A table under a fence: how a query names it, ONLY included where the table is not partitioned.
struct FencedTable {
  Fence fence;
  std::string name;
};

/// Begins a fence for reading `relation`. Takes ACCESS SHARE first and the snapshot afterwards, so nothing that the
/// snapshot lacks can have rewritten the table in between. Throws RetryError when the lock is not to be had soon, or
/// (TR121) when the table is no longer as `relation` says; after any throw `sql` is of no more use.
FencedTable begin_fence_on_table(Connection& sql, const Relation& relation);

/// SQL: whether a row's key is one of `keys` (as for read_keys).
std::string keys_condition(const Connection& sql, const Relation& relation, const std::vector<std::string>& keys);

/// Reads the rows of `relation` whose key is one of `keys`, tuples of the relation's match_key() columns in that order,
/// all values present, and that pass the filter (SQL; empty: all do). Throws as begin_fence_on_table() does.
FencedRows read_keys(Connection& sql, const RelationPtr& relation, const std::vector<std::string>& keys,
                     const std::string& row_filter = {});

}  // namespace tailrace::postgres
