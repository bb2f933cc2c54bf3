#pragma once

#include <memory>
#include <span>

#include "model/relation.h"
#include "sinks/lake/table_shape.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

/// Calls `use(change, shape)` for those of the changes that the lake does not have yet, in their order: a cursor that
/// was taken back brings the others once more. `target` says of a table which version it is in, and the number of its
/// last change that is there: shape(relation) and through(oid). Throws what these throw.
template <typename Target, typename Use>
void for_each_new(std::span<const sinks::RowChange> changes, Target& target, Use use) {
  const Relation* relation = nullptr;
  std::shared_ptr<const TableShape> shape;
  Seq done;
  for (const sinks::RowChange& change : changes) {
    const bool copied = change.operation == sinks::RowOperation::kCopied;
    if (change.relation != relation) {
      relation = change.relation;
      shape = target.shape(*relation);
      // A copy's threads ask for no number: the sink's own may change it.
      done = copied ? Seq(0) : target.through(relation->oid);
    }
    if (copied || change.seq > done) use(change, shape);
  }
}

}  // namespace tailrace::lake
