#include "sinks/clickhouse/clickhouse_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"

namespace tailrace::clickhouse {
namespace {

using sinks::RowStyle;

/// The first version whose ReplacingMergeTree knows of deleted rows.
constexpr std::pair<int, int> kOldest = {23, 2};
/// Writes of a sink that was opened later count more than all of one that was opened before.
constexpr std::uint64_t kWritesOfOneOpening = 1ULL << 32;

std::pair<int, int> read_version(const std::string& text) {
  std::pair<int, int> version = {0, 0};
  const char* end = text.data() + text.size();
  const auto [dot, failed] = std::from_chars(text.data(), end, version.first);
  if (failed == std::errc() && dot != end) std::from_chars(dot + 1, end, version.second);
  return version;
}

bool same_columns(const Relation& relation, const TableFacts& facts, RowStyle style) {
  const std::vector<MetaColumn>& metas = meta_columns(style);
  if (facts.columns.size() != relation.columns.size() + metas.size()) return false;
  for (std::size_t n = 0; n < relation.columns.size(); ++n)
    if (facts.columns[n].name != relation.columns[n].name || facts.columns[n].type != column_type(relation, n, style))
      return false;
  return true;
}

}  // namespace

ClickhouseTarget::ClickhouseTarget(ClickhouseSpec spec)
    : spec_(std::move(spec)), tables_(std::make_unique<Tables>(spec_)) {}
ClickhouseTarget::~ClickhouseTarget() = default;

sinks::RowTraits ClickhouseTarget::traits() const {
  return {.style = spec_.style,
          .takes_unchanged = spec_.style == RowStyle::kEvents,
          .unit_changes = 100'000,
          .unit_bytes = 64U << 20};
}

Connection& ClickhouseTarget::connection() {
  if (!connection_) connection_ = std::make_unique<Connection>(spec_.address);
  return *connection_;
}

void ClickhouseTarget::see_version() {
  const auto rows = connection().select("SELECT version()", 1);
  const std::string version = rows.empty() ? std::string() : rows[0][0];
  if (read_version(version) < kOldest)
    throw RefusedError("TR849", fmt::format("{} is ClickHouse {}, which is too old", spec_.address.display(), version),
                       fmt::format("run {}.{} or later", kOldest.first, kOldest.second));
}

void ClickhouseTarget::see_running_inserts() {
  std::vector<std::vector<std::string>> rows;
  try {
    rows = connection().select(
        fmt::format("SELECT toString(max(elapsed)) FROM system.processes WHERE Settings['log_comment'] = {} "
                    "HAVING count() > 0",
                    literal(spec_.mark_of_inserts())),
        1);
  } catch (const RefusedError& error) {
    if (error.code() != "TR841") throw;
    log::warn("clickhouse.processes",
              "{}: we may not read system.processes, so an INSERT that outlives a crash is not waited for",
              spec_.address.display());
  }
  if (rows.empty()) return;
  throw RetryError("TR824",
                   fmt::format("an INSERT of an earlier run is still under way in {}, since {} s",
                               spec_.address.display(), rows[0][0]),
                   "none: its end is waited for");
}

sinks::StateMap ClickhouseTarget::open() {
  tables_->forget();
  see_version();
  see_running_inserts();
  const std::string database = literal(spec_.address.database);
  if (connection().select(fmt::format("SELECT name FROM system.databases WHERE name = {}", database), 1).empty())
    throw RefusedError("TR843", fmt::format("{}: there is no such database", spec_.address.display()),
                       "create the database, or correct the end of the URL");
  sinks::StateMap state;
  if (!tables_->look(kStateTable)) return state;
  std::uint64_t newest = 0;
  for (std::vector<std::string>& row : connection().select(
           fmt::format("SELECT key, argMax(value, version), toString(max(version)), toString(argMax(deleted, version)) "
                       "FROM {} WHERE sink = {} GROUP BY key",
                       tables_->sql_name(kStateTable), literal(spec_.state_name())),
           4)) {
    std::uint64_t version = 0;
    std::from_chars(row[2].data(), row[2].data() + row[2].size(), version);
    newest = std::max(newest, version);
    if (row[3] == "0") state[row[0]] = std::move(row[1]);
  }
  state_version_ = (newest / kWritesOfOneOpening + 1) * kWritesOfOneOpening;
  return state;
}

std::unique_ptr<sinks::RowWriter> ClickhouseTarget::writer() {
  return std::make_unique<ClickhouseWriter>(spec_, *tables_, state_version_);
}

std::string ClickhouseTarget::obstacle(const Relation& relation) const {
  if (spec_.style == RowStyle::kState && relation.match_key().empty())
    return "it has no key by which its rows could be told apart";
  for (const MetaColumn& meta : meta_columns(spec_.style))
    if (std::ranges::find(relation.columns, meta.name, &Column::name) != relation.columns.end())
      return fmt::format("it has a column {} itself, which is the sink's", meta.name);
  std::string table;
  try {
    table = tables_->name_of(relation);
  } catch (const RefusedError& error) {
    return error.what();
  }
  if (table == kStateTable) return "its name there is that of the sink's own table";
  const std::optional<TableFacts> facts = tables_->look(table);
  if (!facts) return {};
  const Belonging whose = tables_->belonging(*facts, relation);
  if (whose == Belonging::kOthers)
    return fmt::format("table {} there is {} already; put {{schema}} into `table`", table,
                       facts->comment.substr(facts->comment.find(kMarkOfTables)));
  return whose == Belonging::kMade ? std::string() : misfit(relation, *facts, spec_.style);
}

const char* ClickhouseTarget::refusal_of(const sinks::RowChange& change) const {
  return tables_->shape(*change.relation)->refusal_of(change);
}

bool ClickhouseTarget::has_rows(const std::string& table) {
  return !connection().select(fmt::format("SELECT '' FROM {} LIMIT 1", tables_->sql_name(table)), 1).empty();
}

void ClickhouseTarget::create(const Relation& relation, const std::string& table) {
  connection().run(
      create_sql(relation, spec_.style, tables_->sql_name(table), tables_->mark(Belonging::kMade, relation)));
  TAILRACE_CRASH_POINT("clickhouse.table_made");
}

void ClickhouseTarget::make_table(const Relation& relation, bool /*ours*/) {
  // The table's comment says whose it is, also after a crash in front of the state.
  tables_->forget();
  const std::string table = tables_->name_of(relation);
  const std::optional<TableFacts> facts = tables_->look(table);
  if (!facts) return create(relation, table);
  const Belonging whose = tables_->belonging(*facts, relation);
  if (whose != Belonging::kMade) return fill_existing(relation, table, *facts);
  const std::string name = tables_->sql_name(table);
  if (same_columns(relation, *facts, spec_.style) &&
      (spec_.style == RowStyle::kEvents || misfit(relation, *facts, spec_.style).empty())) {
    connection().run(fmt::format("TRUNCATE TABLE {}", name));
    return;
  }
  connection().run(fmt::format("DROP TABLE {}", name));
  TAILRACE_CRASH_POINT("clickhouse.table_dropped");
  create(relation, table);
}

void ClickhouseTarget::fill_existing(const Relation& relation, const std::string& table, const TableFacts& facts) {
  const Belonging whose = tables_->belonging(facts, relation);
  const bool rows = has_rows(table);
  if (whose == Belonging::kOthers || (whose == Belonging::kNobody && rows && !spec_.overwrite))
    throw RefusedError(
        "TR844",
        fmt::format("table {} of {} has rows already, which are not of this pipeline", table, spec_.address.display()),
        "choose another `table` or database, empty it, or say `overwrite: true`");
  const std::string name = tables_->sql_name(table);
  if (whose == Belonging::kNobody)
    connection().run(fmt::format(
        "ALTER TABLE {} MODIFY COMMENT {}", name,
        literal(facts.comment + (facts.comment.empty() ? "" : " ") + tables_->mark(Belonging::kFilled, relation))));
  TAILRACE_CRASH_POINT("clickhouse.table_taken");
  if (rows) connection().run(fmt::format("TRUNCATE TABLE {}", name));
}

void ClickhouseTarget::empty_table(const Relation& relation) {
  connection().run(fmt::format("TRUNCATE TABLE {}", tables_->shape(relation)->table()));
}

std::string ClickhouseTarget::alter_table(const Relation& before, const Relation& after, const SchemaChange& change) {
  tables_->forget();
  const std::string table = tables_->name_of(before);
  const std::optional<TableFacts> facts = tables_->look(table);
  const Belonging whose = facts ? tables_->belonging(*facts, before) : Belonging::kNobody;
  const std::string name = tables_->sql_name(table);
  std::vector<std::string> statements;
  if (spec_.style == RowStyle::kEvents && whose == Belonging::kMade) {
    statements = event_alteration(after, *facts, name);
  } else if (spec_.style == RowStyle::kState) {
    if (whose == Belonging::kNobody || whose == Belonging::kOthers) return "its table there is gone";
    Alteration made = alteration(before, after, change, name);
    if (!made.obstacle.empty()) return made.obstacle;
    if (whose == Belonging::kFilled && !made.statements.empty())
      return misfit(after, *facts, spec_.style).empty()
                 ? "its columns changed, and the table there is not ours to alter"
                 : "it does not fit the table there any more";
    statements = std::move(made.statements);
  }
  for (const std::string& statement : statements) {
    connection().run(statement);
    TAILRACE_CRASH_POINT("clickhouse.altered");
  }
  tables_->forget();
  return {};
}

void ClickhouseTarget::release() {
  connection_.reset();
  tables_->forget();
}

}  // namespace tailrace::clickhouse
