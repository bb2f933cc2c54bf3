#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/change_batch.h"
#include "model/row_translation.h"
#include "model/snapshot.h"
#include "sinks/sink.h"

/// Dead letters that are made changes again (docs/dead-letters.md).
namespace tailrace::sinks {

/// A value that a person puts in the place of a row's, as PostgreSQL's text; nothing: NULL.
struct ColumnEdit {
  std::string column;
  std::optional<std::string> text;
};

struct ReplayedLetter {
  DeadLetter letter;
  std::vector<ColumnEdit> edits = {};
};

/// All letters of some rows of one table, in order of their places.
struct LetterReplay {
  std::vector<ReplayedLetter> letters;
  /// Everything is tried and nothing written.
  bool rehearsal = false;
};

/// The target still cannot hold one of the letters.
class LetterRefused : public RefusedError {
 public:
  LetterRefused(std::size_t at, const std::string& reason);
  /// Which one.
  std::size_t at() const { return at_; }

 private:
  std::size_t at_;
};

/// The target has something newer of the letter's row: TR650.
class LetterSuperseded : public RefusedError {
 public:
  LetterSuperseded(std::size_t at, const Relation& table, const Position& newer);
  /// Which one.
  std::size_t at() const { return at_; }

 private:
  std::size_t at_;
};

/// Nobody waits for the letters of a row: TR225.
[[noreturn]] void refuse_unawaited(const Relation& table);
/// They do not fit what the target has: TR227.
[[noreturn]] void refuse_replay(const Relation& table, const std::string& why);

/// The letters as changes of the table as it is at the target now. Lives as long as they are used; one thread.
class LetterChanges {
 public:
  /// What the last copy of the table contains is left out. Throws RefusedError TR227 when rows of a letter's version
  /// cannot be made rows of `now`, BadConfigError TR228 for an edit that cannot be made.
  LetterChanges(const LetterReplay& replay, const RelationPtr& now, const Fence& copied);

  const ChangeBatch& batch() const { return batch_; }
  /// The counters once these letters are applied, where `before` counts them as letters; `of_table` follows. Copied
  /// rows are not counted.
  Counters counted(Counters before, OutcomeCounts& of_table) const;
  /// Which letter became a change at that place.
  std::size_t letter_at(const Position& place) const;
  /// REQUIRES: `change` is one of the batch's.
  std::size_t letter_of(const Change& change) const {
    return letters_[static_cast<std::size_t>(&change - batch_.changes.data())];
  }

 private:
  void add(const ReplayedLetter& replayed, std::size_t at, const Fence& copied);
  Transaction& transaction_of(const DeadLetter& letter, const Fence& copied);
  TupleView edited(const Change& change, const std::vector<ColumnEdit>& edits);

  const RelationPtr now_;
  ChangeBatch batch_;
  /// Of each change of the batch, its letter.
  std::vector<std::size_t> letters_;
  std::deque<RowTranslation> translations_;
  std::deque<std::string> rows_;
  /// What the letters were that were counted.
  std::vector<ChangeKind> counted_;
};

}  // namespace tailrace::sinks
