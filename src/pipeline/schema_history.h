#pragma once

#include <unordered_map>

#include "model/change_batch.h"
#include "pipeline/catalog.h"

namespace tailrace::pipeline {

/// Writes into the catalog which versions tables had, by their places in the log. A version is known by its place, so
/// what is seen again, by another sink or after a crash, is there already. One runner's; its thread.
class SchemaHistory {
 public:
  explicit SchemaHistory(Catalog& catalog) : catalog_(catalog) {}

  /// The tables that a batch's changes belong to. Durable on return.
  void see(const ChangeBatch& batch);
  /// A table as its copy shows it at this place.
  void see(const RelationPtr& relation, const Position& at, PgTime time);

 private:
  Catalog& catalog_;
  /// The version seen last, by identity: versions of a batch are shared with the next one.
  std::unordered_map<Oid, RelationPtr> last_;
};

}  // namespace tailrace::pipeline
