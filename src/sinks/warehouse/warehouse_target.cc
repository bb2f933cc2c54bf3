#include "sinks/warehouse/warehouse_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "sinks/warehouse/state_text.h"
#include "sinks/warehouse/warehouse_writer.h"

namespace tailrace::warehouse {
namespace {

/// What begins the comments of tables that are ours.
constexpr const char* kMarkOfTables = "Tailrace: ";
constexpr std::uint64_t kLeastEngineMemory = 64ULL << 20;

std::string plain(std::string_view text) { return std::string(text); }

}  // namespace

WarehouseTarget::WarehouseTarget(WarehouseSpec spec, std::unique_ptr<const Dialect> dialect)
    : spec_(std::move(spec)), dialect_(std::move(dialect)) {}
WarehouseTarget::~WarehouseTarget() = default;

sinks::RowTraits WarehouseTarget::traits() const {
  return {.style = sinks::RowStyle::kState, .takes_unchanged = false, .unit_changes = 100'000, .unit_bytes = 32U << 20};
}

std::unique_ptr<Session> WarehouseTarget::log_in() const {
  const AdbcDriver& driver = AdbcDriver::load(find_driver(dialect_->driver_places()));
  return std::make_unique<Session>(driver, dialect_->options(),
                                   [this](const AdbcFailure& failure, About about) { dialect_->fail(failure, about); });
}

std::unique_ptr<Session> WarehouseTarget::connect() const {
  std::unique_ptr<Session> session = log_in();
  session->run(dialect_->use_place());
  return session;
}

Session& WarehouseTarget::session() const {
  if (!session_) throw RetryError("TR807", "the target is not open", "it is opened again");
  return *session_;
}

sinks::StateMap WarehouseTarget::open() {
  release();
  session_ = log_in();
  has_place_ = session_->run_unless(dialect_->use_place(),
                                    [this](const AdbcFailure& failure) { return dialect_->is_missing(failure); });
  if (!has_place_ || !comment_of(kStateTable)) return {};
  sinks::StateMap state;
  for (const auto& row : session_->select(dialect_->select_state(kStateTable, spec_.state_name()))) {
    if (row.size() != 2 || !row[0] || !row[1]) throw DefectError("the state's table has a row without a value");
    if (*row[0] != kWritten) state[*row[0]] = from_hex(*row[1], dialect_->display());
  }
  return state;
}

void WarehouseTarget::prepare() {
  if (!has_place_) {
    for (const std::string& statement : dialect_->make_place()) session().run(statement);
    session().run(dialect_->use_place());
    has_place_ = true;
  }
  if (!comment_of(kStateTable)) session().run(dialect_->create_state(kStateTable));
  make_views({});
  prepared_ = true;
}

std::unique_ptr<sinks::RowWriter> WarehouseTarget::writer() {
  // The first one is the sink's own; looking at a target makes nothing.
  if (!prepared_) prepare();
  return std::make_unique<WarehouseWriter>(*this);
}

std::shared_ptr<vectors::ParquetEngine> WarehouseTarget::engine() {
  const std::lock_guard lock(mutex_);
  if (!engine_) engine_ = std::make_shared<vectors::ParquetEngine>(std::max(spec_.memory / 2, kLeastEngineMemory));
  return engine_;
}

std::string WarehouseTarget::name_of(const Relation& relation) const {
  return dialect_->name_of(spec_.table.bind(relation).pattern("", plain));
}

std::string WarehouseTarget::name_of(const NamedTable& table) const {
  Relation relation;
  relation.schema = table.schema;
  relation.name = table.name;
  return name_of(relation);
}

std::string WarehouseTarget::mark(const Relation& relation) const {
  return fmt::format("{}made for {} of pipeline {}", kMarkOfTables, relation.display_name(), spec_.pipeline);
}

std::optional<std::string> WarehouseTarget::comment_of(const std::string& table) const {
  const auto rows = session().select(dialect_->select_comment(table));
  if (rows.empty()) return std::nullopt;
  return rows[0].empty() ? "" : rows[0][0].value_or("");
}

std::shared_ptr<const TableShape> WarehouseTarget::shape(const Relation& relation) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const TableShape>& known = shapes_[&relation];
  if (!known || known->oid() != relation.oid) {
    const std::string& source = spec_.source_db.empty() ? spec_.pipeline : spec_.source_db;
    known = std::make_shared<TableShape>(relation, *dialect_, name_of(relation), source);
  }
  return known;
}

void WarehouseTarget::forget_shapes() {
  const std::lock_guard lock(mutex_);
  shapes_.clear();
}

std::string WarehouseTarget::obstacle(const Relation& relation) const {
  std::string table;
  try {
    table = name_of(relation);
  } catch (const RefusedError& error) {
    return error.what();
  }
  if (table == kStateTable) return "its name there is that of the sink's own table";
  if (std::string reason = shape(relation)->obstacle(); !reason.empty()) return reason;
  const std::string there = comment_of(table).value_or("");
  if (there.starts_with(kMarkOfTables) && there != mark(relation))
    return fmt::format("table {} there is {} already; put {{schema}} into `table`", table,
                       there.substr(std::string_view(kMarkOfTables).size()));
  return {};
}

const char* WarehouseTarget::refusal_of(const sinks::RowChange& change) const {
  return shape(*change.relation)->refusal_of(change);
}

void WarehouseTarget::make_table(const Relation& relation, bool /*ours*/) {
  // The table's comment says whose it is, also after a crash in front of the state.
  forget_shapes();
  const std::string table = name_of(relation);
  const std::optional<std::string> comment = comment_of(table);
  if (comment && *comment != mark(relation) && !spec_.overwrite)
    throw RefusedError(
        "TR886", fmt::format("table {} of {} is there already, and not of this pipeline", table, dialect_->display()),
        "choose another `table` or schema, drop it, or say `overwrite: true`");
  session().run(dialect_->create_table(shape(relation)->plan(), mark(relation)));
  TAILRACE_CRASH_POINT("warehouse.table_made");
  make_views(table);
}

void WarehouseTarget::make_views(const std::string& table) {
  for (const ViewSpec& view : spec_.views) {
    const std::vector<NamedTable> tables = tables_of(view);
    const auto is_it = [&](const NamedTable& named) { return name_of(named) == table; };
    if (!table.empty() && std::ranges::none_of(tables, is_it)) continue;
    const auto is_there = [this](const NamedTable& named) { return comment_of(name_of(named)).has_value(); };
    if (!std::ranges::all_of(tables, is_there)) continue;
    session().run(dialect_->create_view(dialect_->name_of(view.name), query_of(view, [this](const NamedTable& named) {
                                          return dialect_->qualified(name_of(named));
                                        })));
  }
}

void WarehouseTarget::empty_table(const Relation& relation) {
  session().run(dialect_->empty_table(shape(relation)->plan().name));
}

std::string WarehouseTarget::alter_table(const Relation& before, const Relation& after, const SchemaChange& change) {
  forget_shapes();
  if (change.table_renamed) return "it has another name";
  if (change.key_changed) return "its key is another";
  const std::string table = name_of(before);
  if (comment_of(table) != mark(before)) return "its table there is gone";
  const TableShape is(after, *dialect_, table, {});
  if (std::string reason = is.obstacle(); !reason.empty()) return reason;
  const auto name = [this](const Column& column) { return dialect_->name_of(column.name); };
  for (const auto& [from, to] : change.kept) {
    if (name(before.columns[from]) != name(after.columns[to])) return "a column of it has another name";
    if (dialect_->type_of(before.columns[from].type) != dialect_->type_of(after.columns[to].type))
      return "a column of it has another type";
  }
  std::vector<std::string> statements;
  for (const std::size_t column : change.dropped)
    statements.push_back(dialect_->drop_column(table, name(before.columns[column])));
  for (const auto& [column, missing] : change.added) {
    const Column& added = after.columns[column];
    if (std::ranges::any_of(before.columns, [&](const Column& was) { return name(was) == name(added); }))
      return "a name stands for another column now";
    std::optional<std::string> value;
    if (missing && !(value = dialect_->constant(added.type, *missing)))
      return "a column was added with a value in every row";
    statements.push_back(dialect_->add_column(table, is.plan().columns[column], value));
  }
  for (const std::string& statement : statements) {
    // A column that is there was added before the answer was lost, or the process died: its name is no other column's.
    session().run_unless(statement, [this](const AdbcFailure& failure) { return dialect_->has_column(failure); });
    TAILRACE_CRASH_POINT("warehouse.altered");
  }
  if (!statements.empty()) make_views(table);
  return {};
}

void WarehouseTarget::release() {
  session_.reset();
  prepared_ = false;
  has_place_ = false;
  forget_shapes();
  const std::lock_guard lock(mutex_);
  engine_.reset();
}

}  // namespace tailrace::warehouse
