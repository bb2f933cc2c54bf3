#include "sinks/duckdb/resumed_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "model/tuple.h"

namespace tailrace::duckdb {
namespace {

/// Keys that are asked for together.
constexpr std::uint64_t kLot = 20'000;

std::string name_of_keys(const Table& table) {
  return "tailrace." + identifier("changed_keys_of_" + std::to_string(table.shape.relation->oid.value()));
}

/// SQL: whether the row of the table called t has the key that was noted as s.
std::string has_key(const Table& table) {
  const Relation& relation = *table.shape.relation;
  return equal_columns(relation, relation.match_key(), "t", "s", 'c');
}

/// The key's texts, then its values in the target's types.
std::vector<TargetType> noted_types(const TableShape& shape) {
  const std::vector<std::size_t> key = shape.relation->match_key();
  std::vector<TargetType> types(key.size());
  for (const std::size_t column : key) types.push_back(shape.types[column]);
  return types;
}

}  // namespace

void DuckdbSink::State::Resumed::begin(const sinks::PartialCopy& partial, const Fence& now) {
  table_ = state_.tables_.at({partial.relation->schema, partial.relation->name}).get();
  then_ = partial.fence;
  now_ = now;
  count_ = 0;
  state_.begin();
  const std::vector<TargetType> types = noted_types(table_->shape);
  const auto values = types.begin() + static_cast<std::ptrdiff_t>(types.size() / 2);
  state_.connection_->run(fmt::format("CREATE TABLE IF NOT EXISTS {}({}, {})", name_of_keys(*table_),
                                      declared('k', {types.begin(), values}), declared('c', {values, types.end()})));
  keys_ = std::make_unique<RowAppender>(
      *state_.connection_, "tailrace", "changed_keys_of_" + std::to_string(table_->shape.relation->oid.value()), types);
}

bool DuckdbSink::State::Resumed::see(const ChangeBatch& batch) {
  return state_.watch([&] {
    const Oid oid = table_->shape.relation->oid;
    for (const Change& change : batch.changes) {
      if (change.relation == nullptr || change.relation->oid != oid) continue;
      const Transaction& transaction = batch.transactions[change.transaction];
      if (then_.contains(transaction.xid, transaction.commit_end) ||
          !now_.contains(transaction.xid, transaction.commit_end))
        continue;
      if (!note(change)) return false;
    }
    keys_->take_in();
    noted_.clear();
    accepted_ = nullptr;
    return true;
  });
}

bool DuckdbSink::State::Resumed::note(const Change& change) {
  if (change.kind == ChangeKind::kTruncate) return false;
  if (change.relation != accepted_) {
    const TableShape shape = state_.shape_of(std::make_shared<Relation>(*change.relation));
    if (!same_columns(shape, table_->shape) || !same_key(shape, table_->shape)) return false;
    accepted_ = change.relation;
  }
  const bool has_old = change.old_row.present();
  if (has_old && !note_key(change.old_row, {})) return false;
  return change.kind == ChangeKind::kDelete ? has_old : note_key(change.new_row, change.old_row);
}

bool DuckdbSink::State::Resumed::note_key(TupleView tuple, TupleView fallback) {
  const auto fields_of = [](TupleView from) {
    std::vector<Field> fields;
    auto at = from.begin();
    for (std::size_t n = 0; n < from.size(); ++n) fields.push_back(at.next());
    return fields;
  };
  const std::vector<Field> all = fields_of(tuple);
  const std::vector<Field> before = fallback.present() ? fields_of(fallback) : std::vector<Field>();
  std::vector<Field> key;
  std::string bytes;
  const std::vector<std::size_t> columns = table_->shape.relation->match_key();
  TupleWriter writer(bytes, static_cast<std::uint16_t>(columns.size()));
  for (const std::size_t column : columns) {
    Field field = all.at(column);
    if (field.kind == FieldKind::kUnchanged && !before.empty()) field = before.at(column);
    if (field.kind != FieldKind::kText) return false;
    writer.text(field.bytes);
    key.push_back(field);
  }
  if (noted_.insert(std::move(bytes)).second) note_fields(key);
  return true;
}

void DuckdbSink::State::Resumed::note_fields(const std::vector<Field>& fields) {
  for (std::size_t n = 0; n < fields.size(); ++n) {
    keys_->put(n, fields[n]);
    // A key that the target cannot hold has no row there.
    if (!keys_->put(fields.size() + n, fields[n])) keys_->set_null(fields.size() + n);
  }
  keys_->end_row();
  ++count_;
}

void DuckdbSink::State::Resumed::settle() {
  state_.watch([&] {
    try {
      keys_->flush();
      keys_.reset();
      const std::uint64_t gone =
          state_.connection_->run(fmt::format("DELETE FROM {} AS t USING {} AS s WHERE {}", table_->mirror_name(),
                                              name_of_keys(*table_), has_key(*table_)));
      state_.tables_on_disk_->move_chunks(*table_, now_);
      TAILRACE_CRASH_POINT("duckdb.copy_resuming");
      state_.connection_->run("COMMIT");
      log::info("duckdb.resumed", "{}: {} changes of keys since the copy was broken off, {} rows are read again",
                table_->shape.relation->display_name(), count_, gone);
    } catch (...) {
      keys_.reset();
      state_.roll_back();
      throw;
    }
    state_.in_transaction_ = false;
  });
  went_on_.insert(table_->shape.relation->oid);
  end();
  TAILRACE_CRASH_POINT("duckdb.copy_resumed");
}

void DuckdbSink::State::Resumed::drop() {
  end();
  if (state_.in_transaction_) state_.roll_back();
}

void DuckdbSink::State::Resumed::forget() {
  end();
  went_on_.clear();
}

void DuckdbSink::State::Resumed::end() {
  keys_.reset();
  noted_.clear();
  accepted_ = nullptr;
  table_ = nullptr;
  asked_up_to_ = -1;
}

bool DuckdbSink::State::Resumed::went_on(const Table& table) const {
  return went_on_.contains(table.shape.relation->oid);
}

void DuckdbSink::State::Resumed::forget_keys(const Table& table) {
  state_.connection_->run("DROP TABLE IF EXISTS " + name_of_keys(table));
  went_on_.erase(table.shape.relation->oid);
}

std::vector<std::string> DuckdbSink::State::Resumed::unread_keys(const RelationPtr& relation) {
  return state_.watch([&] {
    const Table& table = *state_.tables_.at({relation->schema, relation->name});
    const std::size_t width = relation->match_key().size();
    std::string columns;
    for (std::size_t n = 0; n < width; ++n) columns += fmt::format("s.k{}, ", n);
    std::vector<std::string> keys;
    std::unordered_set<std::string> seen;
    for (const TextRow& row : state_.connection_->rows(fmt::format(
             "SELECT {}s.rowid::VARCHAR FROM {} AS s WHERE s.rowid > {} AND NOT EXISTS (SELECT 1 FROM {} AS "
             "t WHERE {}) ORDER BY s.rowid LIMIT {}",
             columns, name_of_keys(table), asked_up_to_, table.mirror_name(), has_key(table), kLot))) {
      std::string key;
      TupleWriter writer(key, static_cast<std::uint16_t>(width));
      for (std::size_t n = 0; n < width; ++n) writer.text(row[n].second);
      const std::string& place = row[width].second;
      std::from_chars(place.data(), place.data() + place.size(), asked_up_to_);
      if (seen.insert(key).second) keys.push_back(std::move(key));
    }
    if (keys.empty()) asked_up_to_ = -1;
    return keys;
  });
}

}  // namespace tailrace::duckdb
