#include "sinks/lake/json_file.h"

#include <fmt/format.h>

#include <iterator>

#include "formats/row_json.h"
#include "sinks/row_unit.h"

namespace tailrace::lake {

using sinks::RowChange;
using sinks::RowOperation;

void JsonFile::append(const RowChange& change) {
  fmt::format_to(std::back_inserter(lines_), R"({{"{}":"{}","{}":{},"{}":{},"{}":{},"{}":)", kOperation,
                 operation_name(change.operation), kCommitLsn, change.position.commit_end.value(), kOrdinal,
                 change.position.ordinal, kSeq, change.seq.value(), kCommitTime);
  if (change.operation == RowOperation::kCopied) {
    lines_ += "null";
  } else {
    formats::append_json_string(change.commit_time.str(), lines_);
  }
  if (change.operation == RowOperation::kUpdate && change.old_row.present()) {
    fmt::format_to(std::back_inserter(lines_), R"(,"{}":)", kOldRow);
    shape_->append_old(change, lines_);
  }
  if (change.new_row.present() && sinks::has_unchanged(change.new_row)) {
    fmt::format_to(std::back_inserter(lines_), R"(,"{}":)", kUnchangedColumns);
    shape_->json().append_unchanged(change.new_row, lines_);
  }
  std::string row;
  if (change.new_row.present()) {
    shape_->json().append(change.new_row, row);
  } else if (change.old_row.present()) {
    shape_->append_old(change, row);
  }
  if (row.size() > 2) {
    lines_ += ',';
    lines_.append(row, 1);
  } else {
    lines_ += '}';
  }
  lines_ += '\n';
}

}  // namespace tailrace::lake
