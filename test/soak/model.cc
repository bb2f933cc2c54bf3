#include "soak/model.h"

#include <cmath>
#include <limits>
#include <unordered_set>

namespace tailrace::soak {
namespace {

constexpr int64_t kMirrorKeys = 8000;
constexpr int64_t kRowGroup = 122880;
constexpr int64_t kHistoryKeys = 3000;
constexpr int64_t kEventsKept = 60;  // batches

// Tags of the columns whose value is not drawn from the hash.
constexpr int64_t kIdTag = 1;
constexpr int64_t kVersionTag = 2;
constexpr int64_t kUntilTag = 3;
constexpr int64_t kFirstFreeTag = 100;

uint64_t split_mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::string sql_type(Kind kind) {
  switch (kind) {
    case Kind::kInt32: return "INTEGER";
    case Kind::kInt64: return "BIGINT";
    case Kind::kDouble: return "DOUBLE";
    case Kind::kText: return "VARCHAR";
    case Kind::kList: return "BIGINT[]";
    case Kind::kInstant: return "TIMESTAMPTZ";
  }
  return {};
}

// Lengths reach past DuckDB's inlined strings, its dictionary limit and, rarely, its block size.
std::string text_value(uint64_t hash) {
  static constexpr char kAlphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
  size_t length = hash % 60;
  if (hash % 97 == 0) length = 300 + hash % 5000;
  if (hash % 997 == 0) length = 20000 + hash % 200000;
  std::string text(length, ' ');
  uint64_t state = hash;
  for (size_t i = 0; i < length; ++i) {
    if (i % 8 == 0) state = split_mix(state);
    text[i] = kAlphabet[(state >> (i % 8 * 8)) & 63];
  }
  return text;
}

// Runs of zeros of both signs invite constant and run-length compression; the rest is noise with odd values
// in it.
double double_value(uint64_t hash, const Row& row) {
  switch (row.version % 4) {
    case 0: return row.version % 8 == 0 ? -0.0 : 0.0;
    case 1: return row.id / 64 % 2 == 0 ? -0.0 : 0.0;
    default:
      if (hash % 50 == 0) return std::numeric_limits<double>::quiet_NaN();
      if (hash % 50 == 1) return -std::numeric_limits<double>::infinity();
      return static_cast<double>(static_cast<int64_t>(hash)) / 1e6;
  }
}

std::vector<Column> first_columns(Shape shape) {
  std::vector<Column> columns = {{"id", Kind::kInt64, kIdTag, 0, {}}, {"version", Kind::kInt64, kVersionTag, 0, {}}};
  if (shape == Shape::kHistory) columns.push_back({"until", Kind::kInt64, kUntilTag, 0, {}});
  columns.push_back({"d", Kind::kDouble, 10, 0, {}});
  if (shape == Shape::kCopy) return columns;
  columns.push_back({"s", Kind::kText, 11, 0, {}});
  columns.push_back({"l", Kind::kList, 12, 0, {}});
  columns.push_back({"at", Kind::kInstant, 13, 0, {}});
  return columns;
}

}  // namespace

uint64_t mix(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  return split_mix(split_mix(split_mix(split_mix(a) ^ b) ^ c) ^ d);
}

Table::Table(int64_t number, std::string name, Shape shape) : number_(number), name_(std::move(name)), shape_(shape) {
  reset_columns();
}

void Table::reset_columns() { columns_ = first_columns(shape_); }

uint64_t Table::key(int64_t id, int64_t version) {
  return static_cast<uint64_t>(id) << 32 | static_cast<uint64_t>(version);
}

int64_t Table::current(int64_t id) const {
  const auto found = current_.find(id);
  return found == current_.end() ? 0 : found->second;
}

std::optional<int64_t> Table::until(int64_t id, int64_t version) const {
  const auto found = rows_.find(key(id, version));
  if (found == rows_.end()) return {};
  return found->second;
}

Cell Table::cell(const Column& column, const Row& row, uint64_t seed) const {
  Cell cell;
  if (column.tag == kIdTag || column.tag == kVersionTag) {
    cell.integer = column.tag == kIdTag ? row.id : row.version;
    return cell;
  }
  if (column.tag == kUntilTag) {
    cell.null = row.until == 0;
    cell.integer = row.until;
    return cell;
  }
  if (row.version < column.added_at) {
    cell.null = !column.fill;
    cell.integer = column.fill.value_or(0);
    cell.number = static_cast<double>(cell.integer);
    cell.text = std::to_string(cell.integer);
    return cell;
  }
  const uint64_t hash = mix(seed, static_cast<uint64_t>(number_ * 1000000 + column.tag), static_cast<uint64_t>(row.id),
                            static_cast<uint64_t>(row.version));
  if (hash % 16 == 3) {
    cell.null = true;
    return cell;
  }
  switch (column.kind) {
    case Kind::kInt32:
    case Kind::kInt64:  // within 32 bits, so that widening a column keeps its values
      cell.integer = static_cast<int32_t>(hash >> 8);
      break;
    case Kind::kInstant: cell.integer = static_cast<int64_t>(hash >> 14); break;
    case Kind::kDouble: cell.number = double_value(hash, row); break;
    case Kind::kText: cell.text = text_value(hash); break;
    case Kind::kList:
      for (uint64_t i = 0; i < hash % 7; ++i) cell.list.push_back(static_cast<int64_t>(split_mix(hash + i)));
      break;
  }
  return cell;
}

void Table::put(const Row& row) {
  rows_[key(row.id, row.version)] = row.until;
  if (shape_ == Shape::kEvents) return;
  if (row.until == 0) {
    current_[row.id] = row.version;
  } else if (current(row.id) == row.version) {
    current_.erase(row.id);
  }
}

void Table::erase(int64_t id, int64_t version) {
  rows_.erase(key(id, version));
  if (current(id) == version) current_.erase(id);
}

void Table::clear() {
  rows_.clear();
  current_.clear();
}

std::string create_statement(const Table& table) {
  std::string sql = "CREATE TABLE " + table.name() + " (";
  for (size_t i = 0; i < table.columns().size(); ++i) {
    if (i > 0) sql += ", ";
    sql += "\"" + table.columns()[i].name + "\" " + sql_type(table.columns()[i].kind);
  }
  return sql + ")";
}

World::World(uint64_t seed) : seed_(seed) {
  tables_.emplace_back(0, "main.uniform", Shape::kMirror);
  tables_.emplace_back(1, "main.recent", Shape::kMirror);
  tables_.emplace_back(2, "shop.orders", Shape::kMirror);
  tables_.emplace_back(3, "shop.orders__history", Shape::kHistory);
  tables_.emplace_back(4, "shop.events", Shape::kEvents);
  tables_.emplace_back(5, "shop.copied", Shape::kCopy);
}

Batch World::plan() {
  Batch batch;
  batch.number = cursor_ + 1;
  for (size_t i = 0; i < tables_.size(); ++i) {
    const uint64_t dice = mix(seed_, static_cast<uint64_t>(batch.number), i, 77);
    if (dice % 3 == 0) continue;  // this table has no change
    const Shape shape = tables_[i].shape();
    TableChange change = shape == Shape::kEvents ? plan_events(i, dice)
                         : shape == Shape::kCopy ? plan_copy(i, dice)
                                                 : plan_keys(i, dice);
    // Stretches without schema changes, since one beside an open reader holds checkpoints off.
    const bool calm = mix(seed_, static_cast<uint64_t>(batch.number / 50)) % 3 == 0;
    if (!calm && mix(dice, 5) % 25 == 0) plan_ddl(change, mix(dice, 6));
    batch.changes.push_back(std::move(change));
  }
  return batch;
}

TableChange World::plan_keys(size_t table, uint64_t dice) {
  TableChange change;
  change.table = table;
  const bool history = tables_[table].shape() == Shape::kHistory;
  const int64_t keys = history ? kHistoryKeys : kMirrorKeys;
  const uint64_t size_dice = mix(dice, 1);
  int64_t count = 1 + static_cast<int64_t>(size_dice % 20);
  if (size_dice % 8 < 3) count = 100 + static_cast<int64_t>(size_dice % 700);
  if (size_dice % 32 == 7 && !history) count = 2500 + static_cast<int64_t>(size_dice % 3000);
  change.emptied = !history && mix(dice, 2) % 90 == 0;
  // One table sees only recent keys, the others any.
  const int64_t window = tables_[table].name() == "main.recent" ? keys / 6 : keys;
  const int64_t start = cursor_ * 20 % keys;
  std::unordered_set<int64_t> seen;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t draw = mix(dice, 3, static_cast<uint64_t>(i));
    const int64_t id = (start + static_cast<int64_t>(draw % static_cast<uint64_t>(window))) % keys;
    if (seen.insert(id).second) change.keys.push_back({id, (draw >> 40) % 5 != 0});
  }
  return change;
}

// A refill spans more than one row group, which DuckDB writes into the file before the commit.
TableChange World::plan_copy(size_t table, uint64_t dice) {
  TableChange change;
  change.table = table;
  const uint64_t size_dice = mix(dice, 1);
  if (size_dice % 25 == 0) {
    if (size_dice % 2 == 0) {
      recreate(change);
    } else {
      change.emptied = true;
    }
    const int64_t count = kRowGroup + static_cast<int64_t>(mix(dice, 2) % 60000);
    for (int64_t i = 0; i < count; ++i) change.keys.push_back({i, true});
    return change;
  }
  for (int64_t i = 0; i < static_cast<int64_t>(size_dice % 30); ++i) {
    const uint64_t draw = mix(dice, 3, static_cast<uint64_t>(i));
    change.keys.push_back({static_cast<int64_t>(draw % 4000) * 40 + i, draw % 3 == 0});
  }
  return change;
}

TableChange World::plan_events(size_t table, uint64_t dice) {
  TableChange change;
  change.table = table;
  change.appended = static_cast<int64_t>(mix(dice, 1) % 10 == 0 ? mix(dice, 2) % 4000 : mix(dice, 2) % 60);
  if (mix(dice, 3) % 5 == 0) change.trimmed_before = cursor_ - kEventsKept;
  return change;
}

void World::recreate(TableChange& change) {
  Table& table = tables_[change.table];
  change.ddl.push_back("DROP TABLE " + table.name());
  table.reset_columns();
  table.clear();
  change.ddl.push_back(create_statement(table));
}

void World::plan_ddl(TableChange& change, uint64_t dice) {
  Table& table = tables_[change.table];
  std::vector<Column>& columns = table.columns();
  const std::string alter = "ALTER TABLE " + table.name() + " ";
  const int64_t number = cursor_ + 1;
  const size_t fixed = first_columns(table.shape()).size();
  if (dice % 20 == 0 && change.ddl.empty() && table.shape() != Shape::kEvents) {
    recreate(change);
    return;
  }
  if (columns.size() > fixed && dice % 5 != 1) {
    const size_t chosen = fixed + mix(dice, 1) % (columns.size() - fixed);
    Column& column = columns[chosen];
    if (dice % 5 == 0 && column.kind == Kind::kInt32) {
      column.kind = Kind::kInt64;
      change.ddl.push_back(alter + "ALTER COLUMN \"" + column.name + "\" TYPE BIGINT");
    } else if (dice % 5 == 2) {
      const std::string renamed = "r" + std::to_string(column.tag) + "_" + std::to_string(number);
      change.ddl.push_back(alter + "RENAME COLUMN \"" + column.name + "\" TO \"" + renamed + "\"");
      column.name = renamed;
    } else if (dice % 5 == 3 || columns.size() > fixed + 4) {
      change.ddl.push_back(alter + "DROP COLUMN \"" + column.name + "\"");
      columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(chosen));
    }
  }
  if (dice % 5 == 1 || dice % 5 == 4 || change.ddl.empty()) {
    static constexpr Kind kKinds[] = {Kind::kInt32, Kind::kInt64, Kind::kText, Kind::kDouble};
    Column added;
    added.tag = kFirstFreeTag + number;
    added.name = "c" + std::to_string(added.tag);
    added.kind = kKinds[mix(dice, 2) % 4];
    added.added_at = number;
    if (mix(dice, 3) % 2 == 0) added.fill = static_cast<int64_t>(mix(dice, 4) % 1000);
    std::string sql = alter + "ADD COLUMN \"" + added.name + "\" " + sql_type(added.kind);
    if (added.fill) sql += " DEFAULT " + std::to_string(*added.fill);
    change.ddl.push_back(sql);
    columns.push_back(added);
  }
}

World::Effect World::effect(const Batch& batch, const TableChange& change) const {
  const Table& table = tables_[change.table];
  Effect effect;
  if (table.shape() == Shape::kEvents) {
    for (const auto& [key, until] : table.rows()) {
      const Row row{static_cast<int64_t>(key >> 32), static_cast<int64_t>(key & 0xffffffff), until};
      if (row.version < change.trimmed_before) effect.deleted.push_back(row);
    }
    for (int64_t i = 0; i < change.appended; ++i) effect.written.push_back({i, batch.number, 0});
    return effect;
  }
  for (const KeyChange& key : change.keys) {
    const int64_t version = change.emptied ? 0 : table.current(key.id);
    if (version != 0) {
      effect.deleted.push_back({key.id, version, 0});
      if (table.shape() == Shape::kHistory) effect.written.push_back({key.id, version, batch.number});
    }
    if (key.put) effect.written.push_back({key.id, batch.number, 0});
  }
  return effect;
}

void World::apply(const Batch& batch) {
  for (const TableChange& change : batch.changes) {
    Table& table = tables_[change.table];
    const Effect made = effect(batch, change);
    if (change.emptied) table.clear();
    for (const Row& row : made.deleted) table.erase(row.id, row.version);
    for (const Row& row : made.written) table.put(row);
  }
  cursor_ = batch.number;
}

void World::advance_to(int64_t cursor) {
  while (cursor_ < cursor) apply(plan());
}

}  // namespace tailrace::soak
