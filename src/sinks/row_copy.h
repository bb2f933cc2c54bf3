#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "rules/row_rules.h"
#include "sinks/letter_box.h"
#include "sinks/row_isolation.h"
#include "sinks/row_target.h"
#include "sinks/sink.h"

namespace tailrace::sinks {

/// What is copied.
struct RowCopyOf {
  /// The target, for people.
  std::string display;
  RelationPtr relation;
  /// As RowSinkSpec's.
  std::uint64_t longest_row = 0;
};

/// Writes the rows of one reader of a table's copy, over a connection of its own (see CopyWriter).
class RowCopy final : public CopyWriter {
 public:
  /// `check`: null where there are no rules. `target` and `letters` outlive it.
  RowCopy(RowCopyOf what, RowTarget& target, std::shared_ptr<const rules::RowCheck> check, LetterBox& letters);

  void append(const CopiedRows& rows) override;
  void finish() override { writer_->finish(); }

 private:
  void write(const std::vector<RowChange>& changes);
  void lay_down(const RowChange& change, const std::string& reason);

  const RowTarget& target_;
  const std::size_t at_once_;
  const RelationPtr relation_;
  const std::uint64_t longest_row_;
  const std::vector<std::size_t> key_;
  const std::shared_ptr<const rules::RowCheck> check_;
  LetterBox& letters_;
  /// The fence comes with the last row only.
  const PgTime began_ = PgTime::now();
  std::unique_ptr<RowWriter> writer_;
  RowIsolation isolation_;
  /// What the rows lie in that are being appended, when it is a very long one.
  std::shared_ptr<const void> held_;
};

}  // namespace tailrace::sinks
