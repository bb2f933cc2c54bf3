#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "sinks/duckdb/sink_state.h"

namespace tailrace::duckdb {
namespace {

/// A column's name and DuckDB's name of its type.
using ColumnIs = std::pair<std::string, std::string>;

/// In what the columns of a table differ from what they must be; nothing when they do not. Schema changes leave columns
/// behind, and new ones at the end.
std::optional<std::string> wrong_column(const std::vector<ColumnIs>& are, const std::vector<ColumnIs>& must) {
  for (const ColumnIs& column : must) {
    const auto found = std::ranges::find(are, column.first, &ColumnIs::first);
    if (found == are.end()) return fmt::format("column \"{}\" is missing", column.first);
    if (found->second != column.second)
      return fmt::format("column \"{}\" is {}, but must be {}", column.first, found->second, column.second);
  }
  return std::nullopt;
}

}  // namespace

void DuckdbSink::State::check_columns() {
  std::map<Name, std::vector<ColumnIs>> are;
  for (const TextRow& row : connection_->rows("SELECT schema_name, table_name, column_name, data_type FROM "
                                              "duckdb_columns() WHERE database_name = current_database() AND NOT "
                                              "internal ORDER BY schema_name, table_name, column_index"))
    are[{row[0].second, row[1].second}].emplace_back(row[2].second, row[3].second);
  std::map<std::string, std::string> own_names;
  const auto name_of = [&](const TargetType& type) -> const std::string& {
    const auto [found, fresh] = own_names.try_emplace(type.sql());
    if (fresh) found->second = connection_->rows("SELECT typeof(NULL::" + type.sql() + ")").front().front().second;
    return found->second;
  };
  for (const auto& [name, table] : tables_) {
    if (table->state != TableState::kCopied || table->hold) continue;
    std::vector<ColumnIs> must;
    for (std::size_t n = 0; n < table->shape.width(); ++n)
      must.emplace_back(table->shape.relation->columns[n].name, name_of(table->shape.types[n]));
    for (const bool history : {false, true}) {
      const Name kept(name.first, history ? name.second + "__history" : name.second);
      const auto found = are.find(kept);
      if (found == are.end() && history) continue;  // check_history looks after it
      if (found != are.end())
        (history ? table->history_in_order : table->mirror_in_order) =
            std::ranges::equal(found->second, table->column_names(history), {}, &ColumnIs::first);
      const auto wrong =
          found == are.end() ? std::optional<std::string>("the table is gone") : wrong_column(found->second, must);
      if (!wrong) continue;
      throw RefusedError(
          "TR617",
          fmt::format("{}: {}.{} is not as it was made: {}", spec_.path.string(), kept.first, kept.second, *wrong),
          "undo what changed it (on_unrepresentable in the configuration, or a statement in the file), "
          "or move the file away for a new copy");
    }
  }
}

void DuckdbSink::State::check_history(PgTime since, Lsn from) {
  const auto stopped = tables_on_disk_->stopped_histories();
  std::set<Name> there;
  for (const TextRow& row : connection_->rows("SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name "
                                              "= current_database() AND table_name LIKE '%!_!_history' ESCAPE '!'"))
    there.emplace(row[0].second, row[1].second);
  for (auto& [name, table] : tables_) {
    if (table->state != TableState::kCopied || table->hold) continue;
    const bool found = there.contains({name.first, name.second + "__history"});
    const auto stop = stopped.find(name);
    if (!table->shape.history) {
      if (found && stop == stopped.end()) write_alone([&] { tables_on_disk_->stop_history(*table, from); });
    } else if (!found) {
      write_alone([&] { create_history(*table, since, std::max(table->fence.end, from)); });
    } else if (stop != stopped.end()) {
      refuse_gap(*table, stop->second, from);
      write_alone([&] { tables_on_disk_->stop_history(*table, std::nullopt); });
    }
  }
}

void DuckdbSink::State::refuse_gap(const Table& table, Lsn stopped, Lsn now) const {
  if (stopped == now) return;
  const std::string history = table.history_name();
  throw RefusedError(
      "TR616",
      fmt::format("{}: the history of {} was not kept between {} and {}", spec_.path.string(),
                  table.shape.relation->display_name(), stopped.str(), now.str()),
      fmt::format("leave it switched off, or let a new one begin now: ALTER TABLE {} RENAME TO {}; -- "
                  "with DuckDB, or DROP TABLE",
                  history,
                  identifier(table.shape.relation->name + "__history_until_" + std::to_string(stopped.value()))));
}

void DuckdbSink::State::write_alone(const std::function<void()>& write) {
  begin();
  try {
    write();
    connection_->run("COMMIT");
  } catch (...) {
    roll_back();
    throw;
  }
  in_transaction_ = false;
}

}  // namespace tailrace::duckdb
