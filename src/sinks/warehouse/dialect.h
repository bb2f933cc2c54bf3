#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/relation.h"
#include "sinks/local_state.h"
#include "sinks/warehouse/session.h"
#include "sinks/warehouse/spec.h"
#include "vectors/types.h"

namespace tailrace::warehouse {

/// What a type of the warehouse cannot hold of what its staged form can.
enum class Bounds { kNone, kText, kBytes, kDays, kTimes };

/// How a type of the source stands in the warehouse.
struct TypePlan {
  /// As a table there declares it.
  std::string sql;
  /// As the staged Parquet file has it.
  vectors::TargetType staged;
  Bounds bounds = Bounds::kNone;

  bool operator==(const TypePlan&) const = default;
};

struct PlannedColumn {
  /// Not quoted, as the warehouse keeps it.
  std::string name;
  TypePlan type;
  bool in_key = false;
};

/// A table as the warehouse has it: the source's columns, then those of kMetaColumns.
struct TablePlan {
  /// Not quoted.
  std::string name;
  std::vector<PlannedColumn> columns;
  /// Of the source.
  std::size_t own = 0;
};

/// What every table has behind the source's columns: what was done last, when it was committed, and where.
enum class Meta { kOperation, kTime, kSource };
inline constexpr std::size_t kMetaColumns = 3;
/// As `cdc_operation` has them; the last is in staged files only.
inline constexpr const char* kSnapshot = "SNAPSHOT";
inline constexpr const char* kInsert = "INSERT";
inline constexpr const char* kUpdate = "UPDATE";
inline constexpr const char* kDelete = "DELETE";

/// One change of what a sink remembers; nothing: the key goes. Keys and values are printable.
using StateRow = std::pair<std::string, std::optional<std::string>>;

/// How one kind of warehouse is spoken to: names, types, statements, and what its errors mean. Immutable; any thread.
/// All names that go in are not quoted.
class Dialect {
 public:
  virtual ~Dialect() = default;

  virtual DriverPlaces driver_places() const = 0;
  virtual AdbcOptions options() const = 0;
  /// For people, without secrets.
  virtual std::string display() const = 0;
  /// Throws the error that a failure asks for.
  [[noreturn]] virtual void fail(const AdbcFailure& failure, About about) const = 0;

  /// What something that the source calls `name` is called there.
  virtual std::string name_of(std::string_view name) const = 0;
  virtual TypePlan type_of(const ColumnType& type) const = 0;
  virtual PlannedColumn meta_column(Meta meta) const = 0;
  /// A constant of the source as SQL of this type; nothing where the warehouse may read it otherwise.
  virtual std::optional<std::string> constant(const ColumnType& type, const std::string& text) const = 0;

  /// What a session begins with. The first makes the place of all tables the session's; it fails with `is_missing` when
  /// there is no such place, and the others make it.
  virtual std::string use_place() const = 0;
  virtual std::vector<std::string> make_place() const = 0;
  virtual bool is_missing(const AdbcFailure& failure) const = 0;
  /// A table with its place, quoted.
  virtual std::string qualified(const std::string& table) const = 0;

  /// One text, the table's comment; no row: there is no such table.
  virtual std::string select_comment(const std::string& table) const = 0;
  /// Replaces a table that is there.
  virtual std::string create_table(const TablePlan& table, const std::string& comment) const = 0;
  virtual std::string empty_table(const std::string& table) const = 0;
  /// All three may come twice, as every statement may whose answer is lost; the first then fails with `has_column`.
  virtual std::string add_column(const std::string& table, const PlannedColumn& column,
                                 const std::optional<std::string>& value) const = 0;
  virtual bool has_column(const AdbcFailure& failure) const = 0;
  virtual std::string drop_column(const std::string& table, const std::string& column) const = 0;
  virtual std::string create_view(const std::string& name, const std::string& query) const = 0;

  /// Prepares a writer's session for load(). `area`: a name of its own, of capitals, digits and _.
  virtual std::vector<std::string> open_area(const std::string& area) const = 0;
  /// A Parquet file on its way into a table.
  struct Staged {
    /// Its columns are staged_name().
    std::string file;
    std::string area;
    /// Of the file in its area.
    std::uint64_t number = 0;
    /// The session's temporary table that takes its rows; one of that name is replaced.
    std::string rows;
  };
  virtual std::vector<std::string> load(const TablePlan& table, const Staged& staged) const = 0;
  static std::string staged_name(std::size_t column) { return "c" + std::to_string(column); }
  /// Merges what was loaded into a temporary table: deletes, updates, inserts.
  virtual std::string merge(const TablePlan& table, const std::string& rows) const = 0;

  virtual std::string begin() const = 0;
  virtual std::string commit() const = 0;
  virtual std::string rollback() const = 0;
  virtual std::string create_state(const std::string& table) const = 0;
  /// Two texts a row.
  virtual std::string select_state(const std::string& table, const std::string& sink) const = 0;
  /// One text of one row.
  virtual std::string select_state_value(const std::string& table, const std::string& sink,
                                         const std::string& name) const = 0;
  virtual std::string merge_state(const std::string& table, const std::string& sink,
                                  std::span<const StateRow> rows) const = 0;
};

/// The table that keeps what sinks remember.
inline constexpr const char* kStateTable = "TAILRACE_STATE";

}  // namespace tailrace::warehouse
