#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/position.h"
#include "sinks/lake/ducklake_columns.h"
#include "sinks/lake/table_shape.h"
#include "vectors/file_statistics.h"

struct sqlite3;

namespace tailrace::lake {

/// A file that a table is to name.
struct DuckLakeFile {
  std::shared_ptr<const TableShape> shape;
  /// Below the table's folder.
  std::string name;
  Position first;
  /// Of its last change; 0 of copied rows.
  Seq through;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  vectors::FileStatistics statistics;
};

/// What a snapshot says of itself.
struct SnapshotNote {
  std::string author;
  std::string message;
  /// JSON.
  std::string extra;
};

/// Version 4 of RFC 9562.
std::string new_uuid();
/// What an error of the catalog asks for.
[[noreturn]] void throw_ducklake_error(sqlite3* db, const std::filesystem::path& file, const char* doing);

/// The next snapshot of a catalog while it is made: rows in DuckLake's tables ("Tables" of the specification, version
/// 1.0). Lives inside of one transaction, on one thread. Throws as DuckLakeCatalog.
class DuckLakeSnapshot {
 public:
  DuckLakeSnapshot(sqlite3* db, const std::filesystem::path& file);
  DuckLakeSnapshot(const DuckLakeSnapshot&) = delete;
  DuckLakeSnapshot& operator=(const DuckLakeSnapshot&) = delete;

  /// The table begins anew: one of ours by that name, or of that oid, ends here.
  void make_table(const TableShape& shape);
  /// The table gets the columns that the file has, and the file. Throws RefusedError TR915 where the table is gone.
  void add_file(const DuckLakeFile& file);
  /// Writes the snapshot itself, when there is something in it.
  void finish(const SnapshotNote& note);

 private:
  struct KnownColumn {
    std::uint64_t id;
    std::string name;
    std::string type;
    std::string element;
    std::uint64_t element_id;
    std::int16_t attnum;
  };
  struct Placed {
    std::uint64_t id;
    std::uint64_t element_id;
  };

  std::uint64_t schema_id(const std::string& name);
  void end_table(std::uint64_t table);
  std::vector<KnownColumn> columns_of(std::uint64_t table);
  void add_column(std::uint64_t table, std::uint64_t id, const DuckLakeColumn& column);
  void end_column(std::uint64_t table, const KnownColumn& column);
  void change_column(std::uint64_t table, const KnownColumn& from, const DuckLakeColumn& into);
  /// Where each of the columns stands in the table, which gets what it lacks.
  std::vector<Placed> place_columns(std::uint64_t table, const std::vector<DuckLakeColumn>& columns);
  std::uint64_t next_column(std::uint64_t table);
  std::uint64_t mapping_of(std::uint64_t table, const std::vector<DuckLakeColumn>& columns,
                           const std::vector<Placed>& placed);
  std::uint64_t make_mapping(std::uint64_t table, const std::vector<DuckLakeColumn>& columns,
                             const std::vector<Placed>& placed);
  void add_statistics(std::uint64_t table, std::uint64_t id, const DuckLakeFile& file,
                      const std::vector<DuckLakeColumn>& columns, const std::vector<Placed>& placed);
  /// The number of the first of so many rows.
  std::uint64_t count_rows(std::uint64_t table, const DuckLakeFile& file);
  void note_version(std::uint64_t table);

  sqlite3* const db_;
  const std::filesystem::path& file_;
  std::uint64_t id_ = 0;
  std::uint64_t schema_version_ = 0;
  std::uint64_t next_catalog_id_ = 0;
  std::uint64_t next_file_id_ = 0;
  bool other_schema_ = false;
  std::set<std::uint64_t> altered_;
  std::set<std::uint64_t> filled_;
  /// As DuckLake writes them.
  std::vector<std::string> changes_;
};

}  // namespace tailrace::lake
