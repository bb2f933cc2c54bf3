#include "sinks/duckdb/batch_versions.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "sinks/duckdb/alteration.h"
#include "sinks/duckdb/target_check.h"

namespace tailrace::duckdb {
namespace {

RowKey row_key(const Relation& relation, bool whole_rows) {
  RowKey key;
  const bool full = relation.identity == ReplicaIdentity::kFull;
  if (!full || !whole_rows) key.columns = relation.match_key();
  std::ranges::sort(key.columns);
  key.multiset = full && key.columns.empty();
  return key;
}

bool names_clash(const Relation& relation, bool history) {
  std::set<std::string> names;
  if (history) names.insert(kHistoryColumnNames.begin(), kHistoryColumnNames.end());
  return std::ranges::any_of(relation.columns,
                             [&](const Column& column) { return !names.insert(folded(column.name)).second; });
}

}  // namespace

BatchVersions::BatchVersions(Table& table, const DuckdbSpec& spec)
    : table_(table), spec_(spec), first_(table.shape.relation) {}

void BatchVersions::add(const Change& change, const Position& at, bool inside) {
  if (refused_ != nullptr) return;
  const bool truncates = change.kind == ChangeKind::kTruncate;
  const bool empty = truncates || table_.empty;
  table_.empty = truncates || (table_.empty && change.kind == ChangeKind::kDescription);
  if (change.relation == seen_) return;
  if (*change.relation != last()) {
    SchemaExplanation found = explain(last(), std::make_shared<Relation>(*change.relation), empty);
    if (!found.change) return refuse(change, at, std::move(found.doubt));
    if (asks_for_decision(*found.change)) return refuse_dropped(change, at, *found.change);
    const std::string obstacle = this->obstacle(*found.change, *found.after, inside);
    if (!obstacle.empty()) return refuse(change, at, obstacle);
    const bool another = !found.change->nothing_visible || found.change->key_changed || *found.after != last();
    if (another) steps_.push_back({std::move(*found.change), std::move(found.after), at});
  }
  seen_ = change.relation;
  versions_[change.relation] = {steps_.size(), row_key(last(), table_.whole_rows), nullptr};
}

void BatchVersions::refuse(const Change& change, const Position& at, std::string reason) {
  refused_ = change.relation;
  const bool gone = change.relation->standing != Standing::kFollowed;
  hold_ = {gone ? kGone : "TR610", std::move(reason), at};
}

bool BatchVersions::asks_for_decision(const SchemaChange& change) const {
  return !change.dropped.empty() && spec_.dropped_columns == DroppedColumns::kHold;
}

void BatchVersions::refuse_dropped(const Change& change, const Position& at, const SchemaChange& found) {
  refused_ = change.relation;
  hold_ = {"TR609", fmt::format("column \"{}\" was dropped", last().columns[found.dropped.front()].name), at};
}

std::string BatchVersions::obstacle(const SchemaChange& change, const Relation& after, bool inside) const {
  if (change.key_changed && (!table_.lettered.empty() || !table_.incomplete.empty())) return kOtherKey;
  if (change.nothing_visible) return {};
  if (change.kept.empty()) return "no column stayed";
  if (inside) return "its columns changed inside a transaction that is too large to be held";
  if (names_clash(after, table_.shape.history))
    return "its columns have names that DuckDB does not tell apart, or that its history has, too";
  if (keeps_history(spec_, after.schema, after.name) != table_.shape.history)
    return fmt::format("it was renamed to {}, whose history {} kept", after.display_name(),
                       table_.shape.history ? "is not" : "is to be");
  for (const auto& [relation, version] : versions_) {
    RowTranslation rows = translation_from(version.steps);
    rows.then(change, after.columns.size());
    for (const std::size_t column : version.key.columns)
      if (!rows.place_of(column)) return "a column of its key was dropped between changes of one batch";
  }
  return {};
}

bool BatchVersions::alters() const {
  return std::ranges::any_of(steps_, [](const Step& step) { return !step.change.nothing_visible; });
}

void BatchVersions::alter(Connection& connection) {
  for (const Step& step : steps_) {
    TableShape next(step.after, spec_.on_unrepresentable, spec_.rules.get());
    next.history = table_.shape.history;
    next.intermediate = table_.shape.intermediate;
    next.apply_later = table_.shape.apply_later;
    if (table_.whole_rows) next.go_by_whole_rows();
    if (step.change.nothing_visible) {
      table_.shape = std::move(next);
    } else {
      Alteration(connection, table_, spec_.dropped_columns, step.at).apply(step.change, std::move(next));
    }
  }
}

RowTranslation BatchVersions::translation_from(std::size_t steps) const {
  RowTranslation rows((steps == 0 ? first_ : steps_[steps - 1].after)->columns.size());
  for (std::size_t n = steps; n < steps_.size(); ++n) rows.then(steps_[n].change, steps_[n].after->columns.size());
  return rows;
}

RowTranslation* BatchVersions::translation(const Relation* relation) {
  const auto found = versions_.find(relation);
  if (found == versions_.end()) return nullptr;
  Version& version = found->second;
  if (!version.rows) version.rows = std::make_unique<RowTranslation>(translation_from(version.steps));
  return version.rows->nothing_to_do() ? nullptr : version.rows.get();
}

RowKey BatchVersions::key_of(const Relation* relation) const {
  const Version& version = versions_.at(relation);
  const RowTranslation rows = translation_from(version.steps);
  RowKey key{{}, version.key.multiset};
  for (const std::size_t column : version.key.columns) key.columns.push_back(*rows.place_of(column));
  std::ranges::sort(key.columns);
  return key;
}

}  // namespace tailrace::duckdb
