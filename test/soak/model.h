#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

/// What the soak's database must hold after a given number of batches.
///
/// Every value is a pure function of (seed, table, column, row), and every batch a pure function of (seed,
/// number of the batch, content before it), so that any process can rebuild the exact content for any cursor
/// without a record of what the killed writer did.
namespace tailrace::soak {

enum class Kind { kInt32, kInt64, kDouble, kText, kList, kInstant };

/// A column as it stands after the batches applied so far. `tag` keeps its identity over renames and feeds
/// the values.
struct Column {
  std::string name;
  Kind kind = Kind::kInt64;
  int64_t tag = 0;
  int64_t added_at = 0;         ///< first batch whose rows have a value; 0 for a column the table was created with
  std::optional<int64_t> fill;  ///< what rows older than the column have; NULL when empty
};

/// One cell. Exactly one of the payload members is meaningful, chosen by the column's kind.
struct Cell {
  bool null = false;
  int64_t integer = 0;  ///< Int32, Int64; microseconds since 1970 for Instant
  double number = 0;
  std::string text;
  std::vector<int64_t> list;
};

/// Identity of a row: the key, the batch that wrote it, and the batch that closed it (history; 0 = open).
struct Row {
  int64_t id = 0;
  int64_t version = 0;
  int64_t until = 0;
};

enum class Shape {
  kMirror,   ///< at most one row per key
  kHistory,  ///< one open row per key, closed rows stay
  kEvents,   ///< no key, appended, trimmed from the old end
  kCopy      ///< few columns; now and then refilled whole with more rows than DuckDB keeps back until commit
};

/// The content of one table: which rows exist, and the columns they have.
class Table {
 public:
  Table(int64_t number, std::string name, Shape shape);

  const std::string& name() const { return name_; }
  Shape shape() const { return shape_; }
  const std::vector<Column>& columns() const { return columns_; }
  std::vector<Column>& columns() { return columns_; }
  size_t row_count() const { return rows_.size(); }
  const std::unordered_map<uint64_t, int64_t>& rows() const { return rows_; }

  /// The version of the open row of `id`, or 0.
  int64_t current(int64_t id) const;
  /// When the row was closed (0 = open); empty when there is no such row.
  std::optional<int64_t> until(int64_t id, int64_t version) const;
  /// The value `row` must have in `column`.
  Cell cell(const Column& column, const Row& row, uint64_t seed) const;

  void put(const Row& row);
  void erase(int64_t id, int64_t version);
  void clear();
  void reset_columns();

 private:
  static uint64_t key(int64_t id, int64_t version);

  int64_t number_;
  std::string name_;
  Shape shape_;
  std::vector<Column> columns_;
  std::unordered_map<uint64_t, int64_t> rows_;
  std::unordered_map<int64_t, int64_t> current_;
};

struct KeyChange {
  int64_t id = 0;
  bool put = true;  ///< false: the key goes away
};

/// What one batch does to one table, in the order of the members.
struct TableChange {
  size_t table = 0;
  std::vector<std::string> ddl;
  bool emptied = false;         ///< a TRUNCATE: all rows go first
  std::vector<KeyChange> keys;  ///< not of kEvents: at most one change per key
  int64_t appended = 0;         ///< kEvents: rows to append
  int64_t trimmed_before = 0;   ///< kEvents: rows of batches below this go
};

struct Batch {
  int64_t number = 0;
  std::vector<TableChange> changes;
};

/// All tables. Owned by one thread.
class World {
 public:
  explicit World(uint64_t seed);

  uint64_t seed() const { return seed_; }
  int64_t cursor() const { return cursor_; }
  const std::vector<Table>& tables() const { return tables_; }

  /// Plans batch cursor() + 1. The schema changes are already made to tables() when it returns, the rows are
  /// not.
  Batch plan();
  /// The rows the batch deletes and writes in change.table, given the rows before it.
  struct Effect {
    std::vector<Row> deleted;
    std::vector<Row> written;
  };
  Effect effect(const Batch& batch, const TableChange& change) const;
  /// Makes the batch's changes to the rows and moves cursor() on.
  void apply(const Batch& batch);
  /// Plans and applies up to `cursor`.
  void advance_to(int64_t cursor);

 private:
  TableChange plan_keys(size_t table, uint64_t dice);
  TableChange plan_copy(size_t table, uint64_t dice);
  TableChange plan_events(size_t table, uint64_t dice);
  void recreate(TableChange& change);
  void plan_ddl(TableChange& change, uint64_t dice);

  uint64_t seed_;
  int64_t cursor_ = 0;
  std::vector<Table> tables_;
};

/// A well-mixed 64-bit function of its arguments.
uint64_t mix(uint64_t a, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0);

/// The CREATE TABLE statement of a table with its first columns.
std::string create_statement(const Table& table);

}  // namespace tailrace::soak
