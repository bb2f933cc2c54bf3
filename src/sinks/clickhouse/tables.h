#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/relation.h"
#include "sinks/clickhouse/connection.h"
#include "sinks/clickhouse/row_binary.h"
#include "sinks/clickhouse/spec.h"
#include "sinks/row_target.h"

namespace tailrace::clickhouse {

/// Columns that the sink adds to a table's own.
enum class Meta : std::uint8_t { kVersion, kDeleted, kOperation, kCommitTime, kOld, kUnchanged };
struct MetaColumn {
  Meta meta;
  const char* name;
  const char* type;
};
/// What tables of this style have besides the source's columns.
const std::vector<MetaColumn>& meta_columns(sinks::RowStyle style);

/// Whose a table is, by its comment.
enum class Belonging : std::uint8_t {
  kNobody,
  /// We made it, for this source table.
  kMade,
  /// It was there, and we fill it.
  kFilled,
  /// A pipeline's, for another source table, or another pipeline's.
  kOthers,
};

/// What begins the part of a comment that is ours.
inline constexpr const char* kMarkOfTables = "Tailrace: ";

/// A table as the server has it. A value.
struct TableFacts {
  struct Column {
    std::string name;
    std::string type;
    bool in_sorting_key = false;
    bool in_partition_key = false;
    /// MATERIALIZED and ALIAS columns are not written.
    bool computed = false;
  };
  std::string engine;
  std::string engine_full;
  std::string sorting_key;
  std::string comment;
  std::vector<Column> columns;

  const Column* column(std::string_view name) const;
};

/// How rows of one version of a table are written. Immutable, any thread; the relation outlives it.
class TableShape {
 public:
  /// Throws RefusedError TR845 where the table at the server does not fit any more.
  TableShape(const Relation& relation, const TableFacts& facts, sinks::RowStyle style, std::string table, bool made);

  Oid oid() const { return oid_; }
  const std::string& table() const { return table_; }
  bool made() const { return made_; }
  const std::string& insert_sql() const { return insert_sql_; }
  /// Names and types, which stand before the rows.
  const std::string& header() const { return header_; }
  const char* refusal_of(const sinks::RowChange& change) const;
  /// Appends the row of a change. Gives the column of ours that has to take NULL first, and that nobody knew of; `out`
  /// then ends with a part of the row. REQUIRES: no refusal.
  std::optional<std::size_t> append(const sinks::RowChange& change, std::string& out) const;
  /// The type of a column as the server has it.
  const std::string& type_of(std::size_t column) const { return types_[column]; }

 private:
  void append_meta(const sinks::RowChange& change, std::string& out) const;

  const Relation& relation_;
  Oid oid_;
  sinks::RowStyle style_;
  std::string table_;
  bool made_;
  std::string insert_sql_;
  std::string header_;
  std::vector<Cell> cells_;
  std::vector<std::string> types_;
  std::vector<Meta> metas_;
};

/// The tables of a sink at the server: what they are called, whose they are and how they are written. Any thread.
class Tables {
 public:
  /// `spec` outlives it.
  explicit Tables(const ClickhouseSpec& spec);

  std::string name_of(const Relation& relation) const;
  /// With the database, quoted.
  std::string sql_name(const std::string& table) const;
  /// Nothing: there is none of this name.
  std::optional<TableFacts> look(const std::string& table);
  /// What the comment of a table says when it is ours.
  std::string mark(Belonging belonging, const Relation& relation) const;
  Belonging belonging(const TableFacts& facts, const Relation& relation) const;
  /// Throws RefusedError TR844, TR845 where the table is gone or does not fit any more.
  std::shared_ptr<const TableShape> shape(const Relation& relation);
  /// Tables may be others from now on.
  void forget();
  /// A column of ours is to take NULL.
  void let_be_null(const TableShape& shape, const Relation& relation, std::size_t column);

 private:
  std::shared_ptr<const TableShape> make_shape(const Relation& relation);

  const ClickhouseSpec& spec_;
  std::mutex connection_mutex_;
  Connection connection_;
  std::shared_mutex mutex_;
  /// A relation lives as long as it is written; forget() is called whenever tables change.
  std::unordered_map<const Relation*, std::shared_ptr<const TableShape>> shapes_;
};

/// Why an existing table cannot take the rows, naming the column; empty: it can.
std::string misfit(const Relation& relation, const TableFacts& facts, sinks::RowStyle style);
/// The CREATE TABLE of a table of ours. `name`: sql_name().
std::string create_sql(const Relation& relation, sinks::RowStyle style, const std::string& name,
                       const std::string& comment);
/// The type of a column that we make.
std::string column_type(const Relation& relation, std::size_t column, sinks::RowStyle style);

}  // namespace tailrace::clickhouse
