#include "sinks/row_copy.h"

#include <utility>

#include "base/bytes.h"
#include "base/crash_point.h"
#include "sinks/row_table.h"

namespace tailrace::sinks {

RowCopy::RowCopy(RowCopyOf what, RowTarget& target, std::shared_ptr<const rules::RowCheck> check, LetterBox& letters)
    : target_(target),
      at_once_(target.traits().unit_changes),
      relation_(std::move(what.relation)),
      longest_row_(what.longest_row),
      key_(relation_->match_key()),
      check_(std::move(check)),
      letters_(letters),
      writer_(target.writer()),
      isolation_(std::move(what.display),
                 {.lay_down_follower = {}, .lay_down = [this](const RowChange& change, const std::string& reason) {
                    lay_down(change, reason);
                  }}) {}

void RowCopy::append(const CopiedRows& rows) {
  std::vector<RowChange> changes;
  held_ = rows.held;
  ByteReader in(rows.bytes());
  while (!in.empty()) {
    RowChange change;
    change.operation = RowOperation::kCopied;
    change.relation = relation_.get();
    change.commit_time = began_;
    change.new_row = measure_tuple(in);
    const char* reason = change.new_row.bytes().size() > longest_row_ ? kRowTooLong : nullptr;
    if (reason == nullptr && check_ != nullptr) reason = check_->refusal_of(change.new_row);
    if (reason == nullptr) reason = target_.refusal_of(change);
    if (reason != nullptr) {
      lay_down(change, reason);
      continue;
    }
    changes.push_back(change);
    if (changes.size() < at_once_) continue;
    write(changes);
    changes.clear();
  }
  write(changes);
  held_.reset();
  TAILRACE_CRASH_POINT("rows.copy_mid");
}

void RowCopy::write(const std::vector<RowChange>& changes) {
  if (changes.empty()) return;
  try {
    writer_->write(changes, {});
    isolation_.landed();
  } catch (const RowsRefused& refused) {
    isolation_.take_apart(*writer_, changes, refused);
  }
}

void RowCopy::lay_down(const RowChange& change, const std::string& reason) {
  DeadLetter letter;
  letter.relation = relation_;
  letter.operation = "copy";
  letter.reason = reason;
  if (held_) {
    letter.new_row = change.new_row.bytes();
    letter.held = {held_};
  } else {
    letter.keep({}, change.new_row.bytes());
  }
  letters_.add_copied(std::move(letter),
                      key_.empty() ? std::string() : key_tuple(change.new_row, {}, key_).value_or(std::string()));
}

}  // namespace tailrace::sinks
