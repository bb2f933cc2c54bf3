#include "sinks/event_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace tailrace::sinks {

const char* letter_of(RowOperation operation) {
  switch (operation) {
    case RowOperation::kCopied: return "r";
    case RowOperation::kInsert: return "c";
    case RowOperation::kUpdate: return "u";
    case RowOperation::kDelete: return "d";
    case RowOperation::kTruncate: return "t";
  }
  return "";
}

EventJson::EventJson(const Relation& relation)
    : relation_(relation), rows_(relation), key_columns_(relation.match_key()) {
  std::ranges::sort(key_columns_);
}

void EventJson::append(const RowChange& change, std::string_view id, std::string& out) const {
  out += '{';
  if (!id.empty()) {
    out += "\"id\":";
    formats::append_json_string(id, out);
    out += ',';
  }
  out += fmt::format(R"("op":"{}","schema":)", letter_of(change.operation));
  formats::append_json_string(relation_.schema, out);
  out += ",\"table\":";
  formats::append_json_string(relation_.name, out);
  if (change.operation != RowOperation::kCopied)
    out += fmt::format(R"(,"lsn":"{}","seq":{},"xid":{},"ts":"{}")", change.position.commit_end.str(),
                       change.seq.value(), change.xid.value(), change.commit_time.str());
  if (change.old_row.present()) {
    out += ",\"old\":";
    if (change.old_kind == OldTuple::kFull) {
      rows_.append(change.old_row, out);
    } else {
      rows_.append(change.old_row, key_columns_, out);
    }
  }
  if (change.new_row.present()) {
    out += ",\"row\":";
    rows_.append(change.new_row, out);
    std::string unchanged;
    rows_.append_unchanged(change.new_row, unchanged);
    if (unchanged != "[]") out += ",\"unchanged\":" + unchanged;
  }
  out += '}';
}

void EventJson::append_columns(const RowChange& change, const std::vector<std::size_t>& columns,
                               std::string& out) const {
  if (change.new_row.present()) return rows_.append(change.new_row, columns, out);
  if (!change.old_row.present()) {
    out += "{}";
    return;
  }
  if (change.old_kind == OldTuple::kFull) return rows_.append(change.old_row, columns, out);
  // Other columns of an old key are null and mean nothing.
  std::vector<std::size_t> sent;
  std::ranges::set_intersection(columns, key_columns_, std::back_inserter(sent));
  rows_.append(change.old_row, sent, out);
}

}  // namespace tailrace::sinks
