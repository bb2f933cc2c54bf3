#include <fmt/format.h>

#include <utility>

#include "base/log.h"
#include "sinks/duckdb/alteration.h"
#include "sinks/duckdb/sink_state.h"
#include "sinks/duckdb/target_check.h"

namespace tailrace::duckdb {

DuckdbSink::State::BatchTables DuckdbSink::State::tables_of(const ChangeBatch& batch, bool inside) {
  BatchTables tables;
  const Relation* settled = nullptr;
  // A row behind a truncate says that the table is empty no more.
  bool truncated = false;
  for (const Change& change : batch.changes) {
    const bool truncates = change.kind == ChangeKind::kTruncate;
    if (change.kind == ChangeKind::kMessage || (change.relation == settled && !truncates && !truncated)) continue;
    truncated = truncates;
    const Transaction& transaction = batch.transactions[change.transaction];
    const Position at = transaction.position(change.ordinal);
    const auto [place, is_new] = tables.by_relation.try_emplace(change.relation, nullptr);
    if (is_new) {
      place->second = table_for(*change.relation, at);
      if (place->second != nullptr && !tables.versions.contains(place->second))
        tables.versions[place->second] = std::make_unique<BatchVersions>(*place->second, spec_);
    }
    Table* table = place->second;
    // What the copy holds already may have been written under versions that are older than the copy's.
    if (table != nullptr && !table->hold && table->fence.contains(transaction.xid, transaction.commit_end)) continue;
    settled = change.relation;
    if (table != nullptr && !table->hold) tables.versions.at(table)->add(change, at, inside);
  }
  return tables;
}

void DuckdbSink::State::alter_tables(Versions& versions) {
  for (auto& [table, of_table] : versions) {
    if (!of_table->differs()) continue;
    const RelationPtr before = table->shape.relation;
    if (of_table->alters()) {
      const Relation& next = of_table->last();
      if (before->schema != next.schema || before->name != next.name) make_room(next, *table, of_table->last_place());
    }
    of_table->alter(*connection_);
    const Relation& after = *table->shape.relation;
    if (before->schema != after.schema || before->name != after.name) {
      tables_on_disk_->rename(*before, after);
      auto node = tables_.extract({before->schema, before->name});
      node.key() = {after.schema, after.name};
      tables_.insert(std::move(node));
    }
    tables_on_disk_->write_table(*table);
    if (of_table->alters())
      log::info("duckdb.altered", "table {} follows its columns as of {}", after.display_name(),
                of_table->last_place().commit_end.str());
  }
}

void DuckdbSink::State::make_room(const Relation& next, Table& table, const Position& at) {
  const auto other = tables_.find({next.schema, next.name});
  if (other != tables_.end()) {
    // At the source it has another name by now, or is gone; its next change will tell.
    Table& moved = *other->second;
    auto aside = std::make_shared<Relation>(*moved.shape.relation);
    aside->name += fmt::format("__oid_{}", aside->oid.value());
    moved.close_appenders();
    rename_target_tables(*connection_, moved, *aside);
    tables_on_disk_->rename(*moved.shape.relation, *aside);
    moved.shape.relation = aside;
    if (moved.shape.history) make_as_of(*connection_, moved);
    tables_on_disk_->write_table(moved);
    auto node = tables_.extract(other);
    node.key() = {aside->schema, aside->name};
    tables_.insert(std::move(node));
    return;
  }
  const auto there = connection_->rows(fmt::format(
      "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = {} AND "
      "lower(table_name) IN (lower({}), lower({})) UNION ALL SELECT 1 FROM duckdb_views() WHERE database_name = "
      "current_database() AND schema_name = {} AND lower(view_name) = lower({})",
      literal(next.schema), literal(next.name), literal(next.name + "__history"), literal(next.schema),
      literal(next.name)));
  if (!there.empty())
    throw SuspectTable{
        &table, at, fmt::format("it was renamed to {}, and the target has a table of that name", next.display_name())};
}

}  // namespace tailrace::duckdb
