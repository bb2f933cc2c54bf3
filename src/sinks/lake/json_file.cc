#include "sinks/lake/json_file.h"

#include <fmt/format.h>

#include <iterator>

#include "formats/row_json.h"
#include "sinks/lake/text_codec.h"

namespace tailrace::lake {

using sinks::RowChange;

void JsonFile::append_extra(const RowChange& change, const ExtraColumn& extra) {
  row_.clear();
  const bool there = shape_->append_text_of(change, extra.what, row_);
  // These two stand where they say something.
  const bool optional = extra.what == Extra::kOldRow || extra.what == Extra::kUnchanged;
  if (!there && optional) return;
  fmt::format_to(std::back_inserter(lines_), "{}\"{}\":", lines_.back() == '{' ? "" : ",", extra.name);
  const bool text =
      extra.what == Extra::kOperation || extra.what == Extra::kCommitTime || extra.what == Extra::kDeleted;
  if (!there) {
    lines_ += "null";
  } else if (text) {
    formats::append_json_string(row_, lines_);
  } else {
    lines_ += row_;
  }
}

void JsonFile::append_row(const RowChange& change) {
  row_.clear();
  if (change.new_row.present()) {
    shape_->json().append(change.new_row, row_);
  } else if (change.old_row.present()) {
    shape_->append_old(change, row_);
  }
  if (row_.size() <= 2) return;
  if (lines_.back() != '{') lines_ += ',';
  lines_.append(row_, 1, row_.size() - 2);
}

void JsonFile::append(const RowChange& change) {
  lines_ += '{';
  if (shape_->row_first()) append_row(change);
  for (const ExtraColumn& extra : shape_->extras()) append_extra(change, extra);
  if (!shape_->row_first()) append_row(change);
  lines_ += "}\n";
}

std::string JsonFile::finish() { return encoded(std::move(lines_), codec_); }

}  // namespace tailrace::lake
