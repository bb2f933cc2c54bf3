#include "sinks/clickhouse/clickhouse_writer.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "base/crash_point.h"

namespace tailrace::clickhouse {
namespace {

using sinks::RowChange;
using sinks::RowStyle;

/// The versions of one INSERT: what is written twice has the same ones.
struct Range {
  std::uint64_t first;
  std::uint64_t last;
};

}  // namespace

ClickhouseWriter::ClickhouseWriter(const ClickhouseSpec& spec, Tables& tables, StateVersion& state_version)
    : spec_(spec), tables_(tables), state_version_(state_version), connection_(spec.address) {}

void ClickhouseWriter::write(std::span<const RowChange> changes, const sinks::StateChanges& state) {
  if (changes.empty() && state.empty()) connection_.select("SELECT toString(1)", 1);
  // Tables in the order in which they come; what comes to one table stays in order.
  std::vector<std::pair<const Relation*, std::vector<const RowChange*>>> by_table;
  std::unordered_map<const Relation*, std::size_t> places;
  std::size_t at = 0;
  for (const RowChange& change : changes) {
    if (by_table.empty() || by_table[at].first != change.relation) {
      const auto [place, is_new] = places.try_emplace(change.relation, by_table.size());
      if (is_new) by_table.emplace_back(change.relation, std::vector<const RowChange*>());
      at = place->second;
    }
    by_table[at].second.push_back(&change);
  }
  for (const auto& [relation, of_table] : by_table) {
    write_table(*relation, of_table);
    TAILRACE_CRASH_POINT("clickhouse.table_written");
  }
  if (!state.empty()) write_state(state);
}

Settings ClickhouseWriter::own_settings() const {
  return {{"async_insert", "0"}, {"log_comment", spec_.mark_of_inserts()}};
}

void ClickhouseWriter::write_table(const Relation& relation, std::span<const RowChange* const> changes) {
  std::shared_ptr<const TableShape> shape = tables_.shape(relation);
  const bool events = spec_.style == RowStyle::kEvents;
  const bool copied = changes.front()->operation == sinks::RowOperation::kCopied;
  if (events && !copied) look_for_events(*shape, changes.front()->seq.value());
  body_ = shape->header();
  const std::size_t header = body_.size();
  Range range{0, 0};
  const auto there = there_.find(shape->table());
  for (std::size_t n = 0; n < changes.size(); ++n) {
    const RowChange& change = *changes[n];
    if (there != there_.end() && there->second.contains(change.seq.value())) continue;
    if (range.first == 0) range.first = change.seq.value();
    range.last = change.seq.value();
    const auto column = shape->append(change, body_);
    if (!column) continue;
    // All that was appended has the column's former type in it.
    tables_.let_be_null(*shape, relation, *column);
    shape = tables_.shape(relation);
    body_ = shape->header();
    range = {0, 0};
    n = static_cast<std::size_t>(-1);
  }
  if (body_.size() == header) return;
  // One block, which is there as a whole or not at all. Rows replace themselves; a block that comes again after a
  // truncate is not to be taken for the one before it.
  Settings settings = own_settings();
  settings.emplace_back("max_insert_block_size", "10000000");
  if (events && !copied) {
    settings.emplace_back("insert_deduplication_token",
                          fmt::format("{}:{}:{}:{}", spec_.state_name(), shape->table(), range.first, range.last));
  } else {
    settings.emplace_back("insert_deduplicate", "0");
  }
  connection_.insert(shape->insert_sql(), body_, settings);
}

void ClickhouseWriter::look_for_events(const TableShape& shape, std::uint64_t first) {
  const auto [at, is_new] = there_.try_emplace(shape.table());
  if (!is_new) return;
  try {
    for (const auto& row : connection_.select(
             fmt::format("SELECT toString(_version) FROM {} WHERE _version >= {}", shape.table(), first), 1)) {
      std::uint64_t version = 0;
      std::from_chars(row[0].data(), row[0].data() + row[0].size(), version);
      at->second.insert(version);
    }
  } catch (...) {
    there_.erase(at);
    throw;
  }
}

void ClickhouseWriter::write_state(const sinks::StateChanges& state) {
  const std::string table = tables_.sql_name(kStateTable);
  if (!state_table_made_)
    connection_.run(fmt::format(
        "CREATE TABLE IF NOT EXISTS {} (sink String, key String, value String, version UInt64, deleted UInt8) "
        "ENGINE = ReplacingMergeTree(version, deleted) ORDER BY (sink, key) "
        "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1 COMMENT 'Tailrace: state of its sinks'",
        table));
  state_table_made_ = true;
  const std::uint64_t version = ++state_version_;
  const std::string sink = spec_.state_name();
  body_.clear();
  for (const auto& [key, value] : state) {
    append_text(sink, body_);
    append_text(key, body_);
    append_text(value.value_or(std::string()), body_);
    append_number(version, body_);
    body_.push_back(value ? '\0' : '\1');
  }
  Settings settings = own_settings();
  settings.emplace_back("insert_deduplicate", "0");
  TAILRACE_CRASH_POINT("clickhouse.before_state");
  connection_.insert(fmt::format("INSERT INTO {} (sink, key, value, version, deleted) FORMAT RowBinary", table), body_,
                     settings);
  TAILRACE_CRASH_POINT("clickhouse.after_state");
}

}  // namespace tailrace::clickhouse
