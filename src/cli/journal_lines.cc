#include "cli/journal_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace tailrace::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kHidden = "…";

std::string dumped(const Json& line) { return line.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// Calls `use` with the name and field of each column that the tuple says something about.
template <typename Use>
void for_each_column(const Change& change, const TupleView& tuple, bool key_only, Use use) {
  auto fields = tuple.begin();
  const std::size_t count = std::min(tuple.size(), change.relation->columns.size());
  for (std::size_t i = 0; i < count; ++i) {
    const Field field = fields.next();
    const Column& column = change.relation->columns[i];
    if (!key_only || column.in_identity) use(column.name, field);
  }
}

}  // namespace

std::string JournalLines::change(const Transaction& transaction, const Change& change) const {
  return json_ ? change_json(transaction, change) : change_text(transaction, change);
}

Json JournalLines::row(const Change& change, const TupleView& tuple, bool key_only) const {
  Json row = Json::object();
  for_each_column(change, tuple, key_only, [&](const std::string& name, const Field& field) {
    if (field.kind == FieldKind::kNull) {
      row[name] = nullptr;
    } else if (field.kind == FieldKind::kUnchanged) {
      row[name] = {{"unchanged", true}};
    } else {
      row[name] = values_ ? field.bytes : kHidden;
    }
  });
  return row;
}

std::string JournalLines::change_json(const Transaction& transaction, const Change& change) const {
  Json line = {{"kind", "change"},
               {"epoch", transaction.epoch},
               {"lsn", transaction.commit_end.str()},
               {"ordinal", change.ordinal},
               {"seq", transaction.change_seq(change.ordinal).value()},
               {"xid", transaction.xid.value()},
               {"op", name_of(change.kind)}};
  if (change.kind == ChangeKind::kMessage) {
    line["prefix"] = change.message_prefix;
    line["content"] = values_ ? change.message_content : kHidden;
    return dumped(line);
  }
  line["schema"] = change.relation->schema;
  line["table"] = change.relation->name;
  if (change.kind == ChangeKind::kTruncate) {
    line["cascade"] = change.truncate_cascade;
    line["restart_identity"] = change.truncate_restart_identity;
  }
  if (change.old_kind != OldTuple::kNone) {
    const bool key_only = change.old_kind == OldTuple::kKey;
    line["old_kind"] = key_only ? "key" : "full";
    line["old"] = row(change, change.old_row, key_only);
  }
  if (change.new_row.present()) line["new"] = row(change, change.new_row, false);
  return dumped(line);
}

std::string JournalLines::row_text(const Change& change, const TupleView& tuple, bool key_only) const {
  std::string text;
  for_each_column(change, tuple, key_only, [&](const std::string& name, const Field& field) {
    text += text.empty() ? "" : " ";
    text += name;
    if (field.kind == FieldKind::kNull) {
      text += "=null";
    } else if (field.kind == FieldKind::kUnchanged) {
      text += " unchanged";
    } else {
      text += values_ ? "=" + Json(field.bytes).dump(-1, ' ', false, Json::error_handler_t::replace) : "=…";
    }
  });
  return text;
}

std::string JournalLines::change_text(const Transaction& transaction, const Change& change) const {
  std::string text = fmt::format("{} {}", transaction.position(change.ordinal).str(), name_of(change.kind));
  if (change.kind == ChangeKind::kMessage) {
    text += fmt::format(" {}", change.message_prefix);
    if (values_) text += " " + Json(change.message_content).dump(-1, ' ', false, Json::error_handler_t::replace);
    return text;
  }
  text += " " + change.relation->display_name();
  if (change.truncate_cascade) text += " cascade";
  if (change.truncate_restart_identity) text += " restart identity";
  if (change.old_kind != OldTuple::kNone)
    text += " old(" + row_text(change, change.old_row, change.old_kind == OldTuple::kKey) + ")";
  if (change.new_row.present()) text += " new(" + row_text(change, change.new_row, false) + ")";
  return text;
}

std::string JournalLines::commit(const Transaction& transaction) const {
  if (!json_) {
    return fmt::format("{}:{} commit xid {} at {}: {} changes", transaction.epoch, transaction.commit_end.str(),
                       transaction.xid.value(), transaction.commit_time.str(), transaction.changes);
  }
  Json line = {{"kind", "commit"},
               {"epoch", transaction.epoch},
               {"lsn", transaction.commit_end.str()},
               {"commit_lsn", transaction.commit_lsn.str()},
               {"xid", transaction.xid.value()}};
  // A message outside of transactions has no commit time.
  line["time"] = transaction.xid.valid() ? Json(transaction.commit_time.str()) : Json(nullptr);
  line["changes"] = transaction.changes;
  line["seq"] = transaction.seq.value();
  return dumped(line);
}

}  // namespace tailrace::cli
