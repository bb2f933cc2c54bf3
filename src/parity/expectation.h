#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "model/change_batch.h"
#include "model/snapshot.h"
#include "sinks/comparison.h"

namespace tailrace::parity {

/// What some keys of a table must be at a place of the log: the rows as they were read under a fence, and on them every
/// logged change of theirs that the read does not contain. One thread; short-lived.
class Expectation {
 public:
  /// `keys`: what was asked; `read`: what the source answered.
  Expectation(const std::vector<std::string>& keys, const FencedRows& read);

  /// The changes of a batch in log order, up to those that end at `until`. What the read contains is left out.
  void apply(const ChangeBatch& batch, const Position& until);

  /// The keys whose rows are known, in the order of `keys`.
  std::vector<sinks::ExpectedRow> known() const;
  /// The others: something about them cannot be told from the log.
  std::uint64_t unknown() const;
  /// How many changes of the table were applied, whatever their keys.
  std::uint64_t changes() const { return changes_; }

 private:
  struct Row {
    /// Empty: there is none.
    std::string tuple;
    bool known = true;
  };

  void apply(const Change& change);
  /// False when the tuple does not tell its key.
  bool key_of(TupleView tuple, TupleView fallback, std::string& key) const;
  /// The row after an insert or update; `before` supplies what was not sent.
  Row row_after(const Change& change, const Row* before) const;

  const RelationPtr relation_;
  const std::vector<std::size_t> key_columns_;
  const Fence fence_;
  std::vector<std::string> keys_;
  std::unordered_map<std::string, Row> rows_;
  std::uint64_t changes_ = 0;
};

}  // namespace tailrace::parity
