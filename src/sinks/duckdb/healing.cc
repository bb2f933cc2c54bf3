#include <fmt/format.h>

#include <algorithm>

#include "base/crash_point.h"
#include "sinks/duckdb/key.h"
#include "sinks/duckdb/row_appender.h"
#include "sinks/duckdb/sink_state.h"

namespace tailrace::duckdb {
namespace {

/// Keys of one read: bounds the statement and how long it takes.
constexpr std::size_t kLot = 500;

/// A key of the target (ascending columns) as the source is asked for it: a tuple in the order of match_key().
std::string key_tuple(const TableShape& shape, ByteView key) {
  std::vector<Field> fields;
  split_key(key, shape.key.size(), fields);
  const std::vector<std::size_t> wanted = shape.relation->match_key();
  std::string tuple;
  TupleWriter writer(tuple, static_cast<std::uint16_t>(wanted.size()));
  for (const std::size_t column : wanted) {
    const auto at = std::ranges::find(shape.key, column) - shape.key.begin();
    writer.text(fields[static_cast<std::size_t>(at)].bytes);
  }
  return tuple;
}

/// The row is what the last change of its key made it, so its version began there.
void set_open_period(RowAppender& rows, std::size_t at, const IncompleteRow& row) {
  rows.set_int64(at, row.since.unix_micros());
  rows.set_null(at + 1);
  rows.set_bool(at + 2, true);
  rows.set_int64(at + 3, static_cast<std::int64_t>(row.at.commit_end.value()));
  rows.set_null(at + 4);
  rows.set_int64(at + 5, static_cast<std::int64_t>(row.seq.value()));
  rows.set_null(at + 6);
}

bool put_row(RowAppender& rows, const TableShape& shape, TupleView tuple) {
  FieldWalk walk(tuple);
  for (std::size_t n = 0; n < shape.width(); ++n)
    if (!rows.put(n, walk.next())) return false;
  return true;
}

sinks::DeadLetter letter_for(const Table& table, const IncompleteRow& row, TupleView tuple, const char* reason) {
  sinks::DeadLetter letter;
  letter.position = row.at;
  letter.seq = row.seq;
  letter.xid = row.xid;
  letter.committed = row.since;
  letter.relation = table.shape.relation;
  letter.operation = "complete";
  letter.reason = reason;
  letter.keep({}, tuple.bytes());
  return letter;
}

}  // namespace

std::optional<sinks::IncompleteRows> DuckdbSink::State::incomplete() {
  std::vector<const Table*> lacking;
  for (const auto& [name, table] : tables_)
    if (!table->incomplete.empty() && !table->hold) lacking.push_back(table.get());
  if (lacking.empty()) return std::nullopt;
  // Another table, then other keys of it, each time: rows that cannot be completed yet keep nobody waiting.
  const std::size_t turn = incomplete_turn_++;
  const Table& table = *lacking[turn % lacking.size()];
  const std::size_t size = table.incomplete.size();
  auto row = std::next(table.incomplete.begin(),
                       static_cast<std::ptrdiff_t>(turn / lacking.size() * kLot % size / kLot * kLot));
  sinks::IncompleteRows rows{.relation = table.shape.relation, .keys = {}};
  for (; row != table.incomplete.end() && rows.keys.size() < kLot; ++row)
    rows.keys.push_back(key_tuple(table.shape, row->first));
  return rows;
}

std::uint64_t DuckdbSink::State::incomplete_rows() const {
  std::uint64_t count = 0;
  for (const auto& [name, table] : tables_) count += table->incomplete.size();
  return count;
}

std::optional<Position> DuckdbSink::State::first_incomplete() const {
  std::optional<Position> first;
  for (const auto& [name, table] : tables_) {
    if (table->hold) continue;
    for (const auto& [key, row] : table->incomplete)
      if (row.healable()) first = std::min(first.value_or(row.at), row.at);
  }
  return first;
}

std::uint64_t DuckdbSink::State::complete(const FencedRows& read) {
  const auto found = by_oid_.find(read.rows.relation->oid);
  if (found == by_oid_.end()) return 0;
  Table& table = *found->second;
  if (table.hold || !same_columns(shape_of(read.rows.relation), table.shape) ||
      !same_key(shape_of(read.rows.relation), table.shape))
    return 0;
  begin();
  try {
    const std::uint64_t completed = put_completed(table, read);
    TAILRACE_CRASH_POINT("duckdb.after_completion");
    return completed;
  } catch (...) {
    roll_back();
    throw;
  }
}

std::uint64_t DuckdbSink::State::put_completed(Table& table, const FencedRows& read) {
  const auto mirror_rows = table.append_to_mirror(*connection_);
  RowAppender& mirror = *mirror_rows;
  std::unique_ptr<RowAppender> history;
  if (table.shape.history) history = table.append_to_history(*connection_);
  Arena arena;
  std::uint64_t completed = 0;
  ByteReader in(read.rows.bytes());
  while (!in.empty()) {
    const TupleView tuple = measure_tuple(in);
    ByteView key;
    if (!read_key(tuple, {}, table.shape.key, arena, key)) continue;
    const auto row = table.incomplete.find(std::string(key));
    // The row is as its last change left it only if the read contains that change.
    if (row == table.incomplete.end() || !row->second.healable() ||
        !read.fence.contains(row->second.xid, row->second.at.commit_end))
      continue;
    const bool too_long = tuple.bytes().size() > memory_.longest_row();
    const char* broken = table.shape.check == nullptr ? nullptr : table.shape.check->refusal_of(tuple);
    if (!too_long && broken == nullptr && put_row(mirror, table.shape, tuple)) {
      mirror.end_row();
      if (history) {
        put_row(*history, table.shape, tuple);
        set_open_period(*history, table.shape.width(), row->second);
        history->end_row();
      }
      ++completed;
    } else {
      const char* reason = too_long ? kRowTooLong : kValueNotHeld;
      letters_.add(letter_for(table, row->second, tuple, broken != nullptr ? broken : reason));
      --counters_.applied;
      ++counters_.dead_lettered;
      outcomes_.of(table.shape.relation->display_name())
          .move(ChangeKind::kUpdate, sinks::Outcome::kApplied, sinks::Outcome::kDeadLettered);
      if (table.lettered.emplace(key, Position{}).second) tables_on_disk_->add_letter(table, std::string(key));
    }
    tables_on_disk_->drop_incomplete(table, row->first);
    table.incomplete.erase(row);
  }
  mirror.flush();
  if (history) history->flush();
  return completed;
}

}  // namespace tailrace::duckdb
