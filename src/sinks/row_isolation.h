#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "sinks/row_target.h"

namespace tailrace::sinks {

/// Finds the rows of a write that a target refuses and has the others written, unless it refuses nearly every row:
/// then it is not the rows that are wrong. Owned by a sink, or by one reader of a copy; used by its thread.
class RowIsolation {
 public:
  struct Hands {
    /// Whether an earlier change of this row was refused, so that this one is laid down too; null: that never is.
    std::function<bool(const RowChange& change)> lay_down_follower;
    /// The row becomes a dead letter.
    std::function<void(const RowChange& change, const std::string& reason)> lay_down;
  };
  /// `display`: the target, for people.
  RowIsolation(std::string display, Hands hands) : display_(std::move(display)), hands_(std::move(hands)) {}

  /// All of a write landed.
  void landed() { in_a_row_ = 0; }
  /// A write of `changes` was refused. On return the others have been written, in order. Throws RetryError TR806 where
  /// it is the target that is wrong, and what the writer throws.
  void take_apart(RowWriter& writer, std::vector<RowChange> changes, const RowsRefused& refusal);

 private:
  void write(RowWriter& writer, std::vector<RowChange> changes);
  void split(RowWriter& writer, std::vector<RowChange> changes, const RowsRefused& refusal);
  void take_out(RowWriter& writer, std::vector<RowChange> changes, const RowsRefused& refusal);
  void count(std::size_t refused, std::size_t written, const RowsRefused& refusal);

  const std::string display_;
  const Hands hands_;
  /// Of the write that is taken apart.
  std::size_t refused_ = 0;
  std::size_t written_ = 0;
  /// Rows that were refused since one was last written: few at a time add up, too.
  std::size_t in_a_row_ = 0;
};

}  // namespace tailrace::sinks
