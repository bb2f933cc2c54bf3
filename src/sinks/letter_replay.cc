#include "sinks/letter_replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "model/schema_change.h"

namespace tailrace::sinks {
namespace {

constexpr const char* kCopied = "copy";
constexpr const char* kCompleted = "complete";

/// Copied and completed rows are rows that the target has not.
ChangeKind kind_of(const DeadLetter& letter) {
  if (letter.operation == name_of(ChangeKind::kUpdate)) return ChangeKind::kUpdate;
  if (letter.operation == name_of(ChangeKind::kDelete)) return ChangeKind::kDelete;
  return ChangeKind::kInsert;
}

OldTuple old_kind_of(const DeadLetter& letter) {
  if (letter.old_row.empty()) return OldTuple::kNone;
  return letter.relation->identity == ReplicaIdentity::kFull ? OldTuple::kFull : OldTuple::kKey;
}

}  // namespace

LetterRefused::LetterRefused(std::size_t at, const std::string& reason)
    : RefusedError("TR226", "the target still cannot hold it: " + reason, "give it other values with --set"), at_(at) {}

LetterSuperseded::LetterSuperseded(std::size_t at, const Relation& table, const Position& newer)
    : RefusedError(
          "TR650",
          fmt::format("a newer change of the row of {}, at {}, was applied since", table.display_name(), newer.str()),
          "drop the letter: replaying it would overwrite what is newer"),
      at_(at) {}

void refuse_unawaited(const Relation& table) {
  throw RefusedError("TR225",
                     fmt::format("the row of {} does not wait for its letter (any more)", table.display_name()),
                     "it came again by a copy, went with a truncate, or the letter was replayed: drop the letter");
}

void refuse_replay(const Relation& table, const std::string& why) {
  throw RefusedError(
      "TR227", fmt::format("letters of {} cannot be replayed: {}", table.display_name(), why),
      fmt::format("drop them, or have the table copied again: tailrace snapshot NAME {}", table.display_name()));
}

LetterChanges::LetterChanges(const LetterReplay& replay, const RelationPtr& now, const Fence& copied) : now_(now) {
  batch_.relations.push_back(now_);
  for (std::size_t at = 0; at < replay.letters.size(); ++at) add(replay.letters[at], at, copied);
}

void LetterChanges::add(const ReplayedLetter& replayed, std::size_t at, const Fence& copied) {
  const DeadLetter& letter = replayed.letter;
  if (letter.operation != kCopied)
    counted_.push_back(letter.operation == kCompleted ? ChangeKind::kUpdate : kind_of(letter));
  if (letter.operation != kCopied && copied.contains(letter.xid, letter.position.commit_end)) return;
  const Transaction& transaction = transaction_of(letter, copied);
  Change change;
  change.kind = kind_of(letter);
  change.old_kind = old_kind_of(letter);
  change.transaction = static_cast<std::uint32_t>(batch_.transactions.size() - 1);
  change.ordinal = letter.seq.value() - transaction.seq.value();
  change.relation = now_.get();
  change.old_row = TupleView(letter.old_row);
  change.new_row = TupleView(letter.new_row);
  if (*letter.relation != *now_) {
    const SchemaExplanation found = explain(*letter.relation, now_);
    if (!found.change) refuse_replay(*now_, "its columns are others now: " + found.doubt);
    RowTranslation& rows = translations_.emplace_back(letter.relation->columns.size());
    rows.then(*found.change, now_->columns.size());
    if (!rows.nothing_to_do()) change = rows.translate(change, *now_);
  }
  if (!replayed.edits.empty()) change.new_row = edited(change, replayed.edits);
  batch_.changes.push_back(change);
  batch_.buffers.insert(batch_.buffers.end(), letter.held.begin(), letter.held.end());
  letters_.push_back(at);
}

Transaction& LetterChanges::transaction_of(const DeadLetter& letter, const Fence& copied) {
  const bool alone = letter.operation == kCopied || letter.operation == kCompleted;
  const std::uint64_t first = letter.seq.value() - (alone ? 0 : letter.position.ordinal);
  if (!alone && !batch_.transactions.empty()) {
    Transaction& last = batch_.transactions.back();
    if (last.commit_end == letter.position.commit_end && last.seq.value() == first) return last;
  }
  Transaction& transaction = batch_.transactions.emplace_back();
  transaction.epoch = letter.position.epoch;
  transaction.commit_end = letter.operation == kCopied ? copied.end : letter.position.commit_end;
  transaction.commit_lsn = transaction.commit_end;
  transaction.xid = letter.xid;
  transaction.commit_time = letter.operation == kCopied ? copied.taken_at : letter.committed;
  transaction.monotone_time = transaction.commit_time;
  transaction.seq = Seq(first);
  return transaction;
}

TupleView LetterChanges::edited(const Change& change, const std::vector<ColumnEdit>& edits) {
  if (!change.new_row.present())
    throw BadConfigError("TR228", "a deleted row has no values to set", "replay its letter without --set");
  const std::vector<std::size_t> key = now_->match_key();
  std::vector<const ColumnEdit*> of_column(now_->columns.size());
  for (const ColumnEdit& edit : edits) {
    const auto column = std::ranges::find(now_->columns, edit.column, &Column::name);
    if (column == now_->columns.end())
      throw BadConfigError("TR228", fmt::format("{} has no column `{}`", now_->display_name(), edit.column),
                           "name one of its columns");
    const auto place = static_cast<std::size_t>(column - now_->columns.begin());
    if (std::ranges::find(key, place) != key.end())
      throw BadConfigError("TR228", fmt::format("`{}` tells which row it is, and stays", edit.column),
                           "set other columns");
    of_column[place] = &edit;
  }
  std::string& row = rows_.emplace_back();
  TupleWriter writer(row, static_cast<std::uint16_t>(of_column.size()));
  auto fields = change.new_row.begin();
  for (const ColumnEdit* edit : of_column) {
    const Field field = fields.next();
    if (edit != nullptr ? !edit->text : field.kind == FieldKind::kNull) {
      writer.null();
    } else if (edit != nullptr) {
      writer.text(*edit->text);
    } else if (field.kind == FieldKind::kUnchanged) {
      writer.unchanged();
    } else {
      writer.text(field.bytes);
    }
  }
  return TupleView(row);
}

Counters LetterChanges::counted(Counters before, OutcomeCounts& of_table) const {
  for (const ChangeKind kind : counted_) {
    if (before.dead_lettered == 0) break;
    ++before.applied;
    --before.dead_lettered;
    of_table.move(kind, Outcome::kDeadLettered, Outcome::kApplied);
  }
  return before;
}

std::size_t LetterChanges::letter_at(const Position& place) const {
  for (std::size_t n = 0; n < letters_.size(); ++n) {
    const Change& change = batch_.changes[n];
    if (batch_.transactions[change.transaction].position(change.ordinal) == place) return letters_[n];
  }
  throw DefectError("a letter came of a change that was none");
}

}  // namespace tailrace::sinks
