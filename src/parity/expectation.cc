#include "parity/expectation.h"

#include <algorithm>

namespace tailrace::parity {
namespace {

std::vector<Field> fields_of(TupleView tuple) {
  std::vector<Field> fields;
  auto at = tuple.begin();
  for (std::size_t n = 0; n < tuple.size(); ++n) fields.push_back(at.next());
  return fields;
}

void write(TupleWriter& writer, const Field& field) {
  if (field.kind == FieldKind::kNull) {
    writer.null();
  } else {
    writer.text(field.bytes);
  }
}

/// Whether tuples of `now` mean what tuples of `then` do.
bool same_columns(const Relation& then, const Relation& now) {
  return std::ranges::equal(then.columns, now.columns, [](const Column& a, const Column& b) {
    return a.attnum == b.attnum && a.type.declared == b.type.declared && a.type.typmod == b.type.typmod;
  });
}

}  // namespace

Expectation::Expectation(const std::vector<std::string>& keys, const FencedRows& read)
    : relation_(read.rows.relation), key_columns_(relation_->match_key()), fence_(read.fence), keys_(keys) {
  for (const std::string& key : keys_) rows_.try_emplace(key);
  ByteReader in(read.rows.bytes());
  while (!in.empty()) {
    const TupleView tuple = measure_tuple(in);
    std::string key;
    if (!key_of(tuple, {}, key)) continue;
    const auto [place, unasked] = rows_.insert_or_assign(key, Row{std::string(tuple.bytes()), true});
    // The key was asked in another text than the source has for it.
    if (unasked) keys_.push_back(key);
  }
}

bool Expectation::key_of(TupleView tuple, TupleView fallback, std::string& key) const {
  if (!tuple.present()) return false;
  const std::vector<Field> fields = fields_of(tuple);
  TupleWriter writer(key, static_cast<std::uint16_t>(key_columns_.size()));
  for (const std::size_t column : key_columns_) {
    Field field = fields.at(column);
    if (field.kind == FieldKind::kUnchanged && fallback.present()) field = fields_of(fallback).at(column);
    if (field.kind != FieldKind::kText) return false;
    writer.text(field.bytes);
  }
  return true;
}

Expectation::Row Expectation::row_after(const Change& change, const Row* before) const {
  const std::vector<Field> sent = fields_of(change.new_row);
  std::vector<Field> old;
  if (change.old_kind == OldTuple::kFull) {
    old = fields_of(change.old_row);
  } else if (before != nullptr && before->known && !before->tuple.empty()) {
    old = fields_of(TupleView(before->tuple));
  }
  Row row;
  TupleWriter writer(row.tuple, static_cast<std::uint16_t>(sent.size()));
  for (std::size_t n = 0; n < sent.size(); ++n) {
    const Field& field = sent[n].kind == FieldKind::kUnchanged && !old.empty() ? old.at(n) : sent[n];
    if (field.kind == FieldKind::kUnchanged) return {"", false};
    write(writer, field);
  }
  return row;
}

void Expectation::apply(const ChangeBatch& batch, const Position& until) {
  for (const Change& change : batch.changes) {
    if (change.relation == nullptr || change.relation->oid != relation_->oid) continue;
    const Transaction& transaction = batch.transactions[change.transaction];
    const Position end{transaction.epoch, transaction.commit_end, 0};
    if (end > Position{until.epoch, until.commit_end, 0}) return;
    if (fence_.contains(transaction.xid, transaction.commit_end)) continue;
    ++changes_;
    apply(change);
  }
}

void Expectation::apply(const Change& change) {
  const auto forget_all = [&] {
    for (auto& [key, row] : rows_) row = {"", false};
  };
  if (change.kind == ChangeKind::kTruncate) {
    for (auto& [key, row] : rows_) row = {};
    return;
  }
  if (!same_columns(*relation_, *change.relation)) return forget_all();
  if (change.kind == ChangeKind::kDescription) return;
  std::string old_key;
  std::string new_key;
  const bool inserts = change.kind == ChangeKind::kInsert;
  const bool removes = change.kind == ChangeKind::kDelete;
  const TupleView old_row = change.old_row.present() ? change.old_row : change.new_row;
  const bool readable =
      (inserts || key_of(old_row, {}, old_key)) && (removes || key_of(change.new_row, change.old_row, new_key));
  if (!readable) return forget_all();
  const auto old_place = inserts ? rows_.end() : rows_.find(old_key);
  Row after;
  if (!removes) after = row_after(change, old_place == rows_.end() ? nullptr : &old_place->second);
  if (old_place != rows_.end()) old_place->second = {};
  if (const auto place = rows_.find(new_key); !removes && place != rows_.end()) place->second = std::move(after);
}

std::vector<sinks::ExpectedRow> Expectation::known() const {
  std::vector<sinks::ExpectedRow> known;
  for (const std::string& key : keys_)
    if (const Row& row = rows_.at(key); row.known) known.push_back({key, row.tuple});
  return known;
}

std::uint64_t Expectation::unknown() const {
  return static_cast<std::uint64_t>(std::ranges::count_if(rows_, [](const auto& row) { return !row.second.known; }));
}

}  // namespace tailrace::parity
