#include "pipeline/schema_history.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "model/schema_change.h"

namespace tailrace::pipeline {

void SchemaHistory::see(const ChangeBatch& batch) {
  const auto seen = [this](const RelationPtr& relation) {
    const auto known = last_.find(relation->oid);
    return known != last_.end() && known->second == relation;
  };
  if (std::ranges::all_of(batch.relations, seen)) return;
  const Relation* last = nullptr;
  for (const Change& change : batch.changes) {
    if (change.relation == nullptr || change.relation == last) continue;
    last = change.relation;
    const auto known = last_.find(last->oid);
    if (known != last_.end() && known->second.get() == last) continue;
    const auto shared = std::ranges::find(batch.relations, last, &RelationPtr::get);
    const Transaction& transaction = batch.transactions[change.transaction];
    see(shared != batch.relations.end() ? *shared : std::make_shared<Relation>(*last),
        transaction.position(change.ordinal), transaction.monotone_time);
  }
}

void SchemaHistory::see(const RelationPtr& relation, const Position& at, PgTime time) {
  last_[relation->oid] = relation;
  const std::optional<SchemaVersion> before = catalog_.schema_version(relation->oid, at);
  if (!before) {
    if (relation->standing == Standing::kFollowed) catalog_.store_schema_version({at, time, "first seen", relation});
    return;
  }
  const SchemaExplanation found = explain(*before->relation, relation);
  if (found.change && found.change->nothing_visible && !found.change->key_changed) return;
  if (relation->standing != Standing::kFollowed) {
    // What nobody can look at any more was last as it is known here.
    auto last = std::make_shared<Relation>(*before->relation);
    last->standing = relation->standing;
    return catalog_.store_schema_version({at, time, found.doubt, std::move(last)});
  }
  catalog_.store_schema_version({at, time, describe(*before->relation, found), found.change ? found.after : relation});
}

}  // namespace tailrace::pipeline
