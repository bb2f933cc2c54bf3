#include "sinks/lake/ducklake_snapshot.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <random>

#include "base/error.h"
#include "base/time.h"
#include "sinks/lake/object_names.h"
#include "sqlite/statement.h"

namespace tailrace::lake {
namespace {

constexpr const char* kList = "list";

class Statement : public sqlite::Statement {
 public:
  Statement(sqlite3* db, const std::filesystem::path& file, const char* sql)
      : sqlite::Statement(db, file, throw_ducklake_error, sql) {}
};

/// As DuckLake's own notes of changes have it.
std::string quoted(const std::string& name) {
  std::string out = "\"";
  for (const char c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

/// Readers tell no upper case from lower case.
bool same_name(std::string_view one, std::string_view other) {
  return std::ranges::equal(one, other,
                            [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

/// "2026-01-31 12:00:00.000000+00"
std::string moment() {
  std::string text = PgTime::now().str();
  text.replace(text.find('T'), 1, " ");
  text.replace(text.find('Z'), 1, "+00");
  return text;
}

void bind_or_null(sqlite::Statement& statement, const std::optional<std::string>& text) {
  if (text) {
    statement.bind(*text);
  } else {
    statement.bind_null();
  }
}

}  // namespace

std::string new_uuid() {
  std::random_device random;
  const std::uint64_t high = (std::uint64_t{random()} << 32 | random()) & ~0xF000ULL;
  const std::uint64_t low = std::uint64_t{random()} << 32 | random();
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}", high >> 32, high >> 16 & 0xFFFF, high & 0xFFF,
                     (low >> 48 & 0x3FFF) | 0x8000, low & 0xFFFFFFFFFFFF);
}

DuckLakeSnapshot::DuckLakeSnapshot(sqlite3* db, const std::filesystem::path& file) : db_(db), file_(file) {
  Statement newest(db_, file_,
                   "SELECT snapshot_id, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot "
                   "ORDER BY snapshot_id DESC LIMIT 1");
  if (!newest.step())
    throw RefusedError("TR914", fmt::format("{} has no snapshot", file_.string()), "give the lake another `catalog`");
  id_ = newest.number(0) + 1;
  schema_version_ = newest.number(1);
  next_catalog_id_ = newest.number(2);
  next_file_id_ = newest.number(3);
}

std::uint64_t DuckLakeSnapshot::schema_id(const std::string& name) {
  Statement known(db_, file_, "SELECT schema_id FROM ducklake_schema WHERE schema_name = ? AND end_snapshot IS NULL");
  if (known.bind(name).step()) return known.number(0);
  const std::uint64_t id = next_catalog_id_++;
  Statement(db_, file_, "INSERT INTO ducklake_schema VALUES (?, ?, ?, NULL, ?, ?, 1)")
      .bind(id)
      .bind(new_uuid())
      .bind(id_)
      .bind(name)
      .bind(name_as_folder(name) + '/')
      .run();
  changes_.push_back("created_schema:" + quoted(name));
  other_schema_ = true;
  return id;
}

void DuckLakeSnapshot::end_table(std::uint64_t table) {
  for (const char* sql :
       {"UPDATE ducklake_table SET end_snapshot = ?1 WHERE table_id = ?2 AND end_snapshot IS NULL",
        "UPDATE ducklake_column SET end_snapshot = ?1 WHERE table_id = ?2 AND end_snapshot IS NULL",
        "UPDATE ducklake_data_file SET end_snapshot = ?1 WHERE table_id = ?2 AND end_snapshot IS NULL",
        "UPDATE ducklake_delete_file SET end_snapshot = ?1 WHERE table_id = ?2 AND end_snapshot IS NULL",
        "UPDATE ducklake_partition_info SET end_snapshot = ?1 WHERE table_id = ?2 AND end_snapshot IS NULL",
        "UPDATE ducklake_sort_info SET end_snapshot = ?1 WHERE table_id = ?2 AND end_snapshot IS NULL",
        "UPDATE ducklake_tag SET end_snapshot = ?1 WHERE object_id = ?2 AND end_snapshot IS NULL",
        "UPDATE ducklake_column_tag SET end_snapshot = ?1 WHERE table_id = ?2 AND end_snapshot IS NULL"})
    Statement(db_, file_, sql).bind(id_).bind(table).run();
  for (const char* sql :
       {"DELETE FROM tailrace_table WHERE table_id = ?", "DELETE FROM tailrace_column WHERE table_id = ?",
        "DELETE FROM tailrace_mapping WHERE table_id = ?"})
    Statement(db_, file_, sql).bind(table).run();
  changes_.push_back(fmt::format("dropped_table:{}", table));
  other_schema_ = true;
}

void DuckLakeSnapshot::make_table(const TableShape& shape) {
  const Relation& relation = shape.relation();
  const std::uint64_t schema = schema_id(relation.schema);
  std::vector<std::uint64_t> former;
  Statement known(db_, file_,
                  "SELECT DISTINCT t.table_id FROM ducklake_table t JOIN tailrace_table o ON o.table_id = t.table_id "
                  "WHERE t.end_snapshot IS NULL AND (o.oid = ? OR (t.schema_id = ? AND t.table_name = ?))");
  known.bind(std::uint64_t{relation.oid.value()}).bind(schema).bind(relation.name);
  while (known.step()) former.push_back(known.number(0));
  for (const std::uint64_t table : former) end_table(table);
  const std::uint64_t id = next_catalog_id_++;
  Statement(db_, file_, "INSERT INTO ducklake_table VALUES (?, ?, ?, NULL, ?, ?, ?, 1)")
      .bind(id)
      .bind(new_uuid())
      .bind(id_)
      .bind(schema)
      .bind(relation.name)
      .bind(name_as_folder(relation.name) + '/')
      .run();
  Statement(db_, file_, "INSERT OR REPLACE INTO tailrace_table VALUES (?, ?, 0)")
      .bind(std::uint64_t{relation.oid.value()})
      .bind(id)
      .run();
  changes_.push_back(fmt::format("created_table:{}.{}", quoted(relation.schema), quoted(relation.name)));
  place_columns(id, ducklake_columns(shape));
  // A table that is new was not altered.
  altered_.erase(id);
  note_version(id);
}

void DuckLakeSnapshot::note_version(std::uint64_t table) {
  other_schema_ = true;
  Statement(db_, file_, "INSERT INTO ducklake_schema_versions VALUES (?, ?, ?)")
      .bind(id_)
      .bind(schema_version_ + 1)
      .bind(table)
      .run();
}

std::vector<DuckLakeSnapshot::KnownColumn> DuckLakeSnapshot::columns_of(std::uint64_t table) {
  Statement columns(
      db_, file_,
      "SELECT c.column_id, c.column_name, c.column_type, coalesce(e.column_type, ''), coalesce(e.column_id, 0), "
      "coalesce(o.attnum, 0) FROM ducklake_column c LEFT JOIN ducklake_column e ON e.table_id = c.table_id AND "
      "e.parent_column = c.column_id AND e.end_snapshot IS NULL LEFT JOIN tailrace_column o ON o.table_id = c.table_id "
      "AND o.column_id = c.column_id WHERE c.table_id = ? AND c.end_snapshot IS NULL AND c.parent_column IS NULL "
      "ORDER BY c.column_order");
  std::vector<KnownColumn> out;
  columns.bind(table);
  while (columns.step())
    out.push_back({columns.number(0), columns.text(1), columns.text(2), columns.text(3), columns.number(4),
                   static_cast<std::int16_t>(columns.number(5))});
  return out;
}

std::uint64_t DuckLakeSnapshot::next_column(std::uint64_t table) {
  Statement most(db_, file_, "SELECT coalesce(max(column_id), 0) + 1 FROM ducklake_column WHERE table_id = ?");
  most.bind(table).step();
  return most.number(0);
}

void DuckLakeSnapshot::add_column(std::uint64_t table, std::uint64_t id, const DuckLakeColumn& column) {
  constexpr const char* kInsert =
      "INSERT INTO ducklake_column VALUES (?, ?, NULL, ?, ?, ?, ?, NULL, 'NULL', 1, NULL, ?, 'duckdb')";
  Statement(db_, file_, kInsert)
      .bind(id)
      .bind(id_)
      .bind(table)
      .bind(id)
      .bind(column.name)
      .bind(column.type)
      .bind(std::string(column.type == kList ? "" : "literal"))
      .run();
}

void DuckLakeSnapshot::end_column(std::uint64_t table, const KnownColumn& column) {
  Statement(db_, file_,
            "UPDATE ducklake_column SET end_snapshot = ?1 WHERE table_id = ?2 AND end_snapshot IS NULL AND "
            "(column_id = ?3 OR parent_column = ?3)")
      .bind(id_)
      .bind(table)
      .bind(column.id)
      .run();
  Statement(db_, file_, "DELETE FROM tailrace_column WHERE table_id = ? AND column_id = ?")
      .bind(table)
      .bind(column.id)
      .run();
}

void DuckLakeSnapshot::change_column(std::uint64_t table, const KnownColumn& from, const DuckLakeColumn& into) {
  // A column that this very snapshot made has no other version.
  Statement(db_, file_,
            "DELETE FROM ducklake_column WHERE table_id = ? AND column_id = ? AND end_snapshot IS NULL AND "
            "begin_snapshot = ?")
      .bind(table)
      .bind(from.id)
      .bind(id_)
      .run();
  Statement(db_, file_,
            "UPDATE ducklake_column SET end_snapshot = ? WHERE table_id = ? AND column_id = ? AND end_snapshot IS NULL")
      .bind(id_)
      .bind(table)
      .bind(from.id)
      .run();
  add_column(table, from.id, into);
}

std::vector<DuckLakeSnapshot::Placed> DuckLakeSnapshot::place_columns(std::uint64_t table,
                                                                      const std::vector<DuckLakeColumn>& columns) {
  std::vector<KnownColumn> known = columns_of(table);
  std::vector<std::optional<KnownColumn>> matched(columns.size());
  for (std::size_t n = 0; n < columns.size(); ++n) {
    const auto same = std::ranges::find_if(known, [&want = columns[n]](const KnownColumn& one) {
      const bool known_number = want.attnum != 0 && one.attnum != 0;
      return known_number ? want.attnum == one.attnum : want.name == one.name;
    });
    if (same == known.end() || same->element != columns[n].element || !can_widen(same->type, columns[n].type)) continue;
    matched[n] = *same;
    known.erase(same);
  }
  bool changed = false;
  // What is left stays, unless its name is needed.
  for (const KnownColumn& left : known)
    if (std::ranges::any_of(columns, [&left](const DuckLakeColumn& want) { return same_name(want.name, left.name); })) {
      end_column(table, left);
      changed = true;
    }
  std::vector<Placed> placed;
  for (std::size_t n = 0; n < columns.size(); ++n) {
    if (matched[n]) {
      placed.push_back({matched[n]->id, matched[n]->element_id});
      if (matched[n]->name == columns[n].name && matched[n]->type == columns[n].type) continue;
      change_column(table, *matched[n], columns[n]);
    } else {
      const std::uint64_t id = next_column(table);
      add_column(table, id, columns[n]);
      placed.push_back({id, 0});
      if (!columns[n].element.empty()) {
        placed.back().element_id = id + 1;
        Statement(db_, file_,
                  "INSERT INTO ducklake_column VALUES (?1, ?2, NULL, ?3, ?1, 'element', ?4, NULL, 'NULL', 1, ?5, "
                  "'literal', 'duckdb')")
            .bind(id + 1)
            .bind(id_)
            .bind(table)
            .bind(columns[n].element)
            .bind(id)
            .run();
      }
      Statement(db_, file_, "INSERT INTO tailrace_column VALUES (?, ?, ?)")
          .bind(table)
          .bind(id)
          .bind(std::int64_t{columns[n].attnum})
          .run();
    }
    changed = true;
  }
  if (changed) altered_.insert(table);
  return placed;
}

std::uint64_t DuckLakeSnapshot::mapping_of(std::uint64_t table, const std::vector<DuckLakeColumn>& columns,
                                           const std::vector<Placed>& placed) {
  std::string key;
  for (std::size_t n = 0; n < columns.size(); ++n)
    key += fmt::format("{}/{}:{}:{},", placed[n].id, placed[n].element_id, columns[n].name.size(), columns[n].name);
  Statement known(db_, file_, "SELECT mapping_id FROM tailrace_mapping WHERE table_id = ? AND columns = ?");
  if (known.bind(table).bind(key).step()) return known.number(0);
  const std::uint64_t mapping = make_mapping(table, columns, placed);
  Statement(db_, file_, "INSERT INTO tailrace_mapping VALUES (?, ?, ?)").bind(table).bind(key).bind(mapping).run();
  return mapping;
}

std::uint64_t DuckLakeSnapshot::make_mapping(std::uint64_t table, const std::vector<DuckLakeColumn>& columns,
                                             const std::vector<Placed>& placed) {
  const std::uint64_t mapping = next_file_id_++;
  Statement(db_, file_, "INSERT INTO ducklake_column_mapping VALUES (?, ?, 'map_by_name')")
      .bind(mapping)
      .bind(table)
      .run();
  std::uint64_t place = 0;
  for (std::size_t n = 0; n < columns.size(); ++n) {
    const std::uint64_t parent = place++;
    Statement(db_, file_, "INSERT INTO ducklake_name_mapping VALUES (?, ?, ?, ?, NULL, 0)")
        .bind(mapping)
        .bind(parent)
        .bind(columns[n].name)
        .bind(placed[n].id)
        .run();
    if (columns[n].element.empty()) continue;
    Statement(db_, file_, "INSERT INTO ducklake_name_mapping VALUES (?, ?, 'list', ?, ?, 0)")
        .bind(mapping)
        .bind(place++)
        .bind(placed[n].element_id)
        .bind(parent)
        .run();
  }
  return mapping;
}

std::uint64_t DuckLakeSnapshot::count_rows(std::uint64_t table, const DuckLakeFile& file) {
  Statement counted(db_, file_, "SELECT next_row_id FROM ducklake_table_stats WHERE table_id = ?");
  if (!counted.bind(table).step()) {
    Statement(db_, file_, "INSERT INTO ducklake_table_stats VALUES (?1, ?2, ?2, ?3)")
        .bind(table)
        .bind(file.rows)
        .bind(file.bytes)
        .run();
    return 0;
  }
  const std::uint64_t first = counted.number(0);
  Statement(db_, file_,
            "UPDATE ducklake_table_stats SET record_count = record_count + ?1, next_row_id = next_row_id + ?1, "
            "file_size_bytes = file_size_bytes + ?2 WHERE table_id = ?3")
      .bind(file.rows)
      .bind(file.bytes)
      .bind(table)
      .run();
  return first;
}

void DuckLakeSnapshot::add_statistics(std::uint64_t table, std::uint64_t id, const DuckLakeFile& file,
                                      const std::vector<DuckLakeColumn>& columns, const std::vector<Placed>& placed) {
  Statement row(db_, file_, "INSERT INTO ducklake_file_column_stats VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)");
  for (std::size_t n = 0; n < columns.size(); ++n) {
    const bool is_list = !columns[n].element.empty();
    const auto found =
        file.statistics.columns.find(vectors::identifier(columns[n].name) + (is_list ? ".\"element\"" : ""));
    if (found == file.statistics.columns.end()) continue;
    const vectors::ColumnStatistics& column = found->second;
    row.bind(id).bind(table).bind(is_list ? placed[n].element_id : placed[n].id);
    row.bind(column.bytes).bind(column.values).bind(column.nulls);
    bind_or_null(row, column.min);
    bind_or_null(row, column.max);
    if (column.has_nan) {
      row.bind(std::uint64_t{*column.has_nan ? 1U : 0U});
    } else {
      row.bind_null();
    }
    row.run();
  }
}

void DuckLakeSnapshot::add_file(const DuckLakeFile& file) {
  const Relation& relation = file.shape->relation();
  Statement known(db_, file_,
                  "SELECT o.table_id FROM tailrace_table o JOIN ducklake_table t ON t.table_id = o.table_id "
                  "WHERE o.oid = ? AND t.end_snapshot IS NULL");
  if (!known.bind(std::uint64_t{relation.oid.value()}).step())
    throw RefusedError(
        "TR915",
        fmt::format("the table {} of {} was dropped by somebody else", relation.display_name(), file_.string()),
        "what it had is in the snapshots before; give the lake another `catalog`, where it begins with a copy");
  const std::uint64_t table = known.number(0);
  const std::vector<DuckLakeColumn> columns = ducklake_columns(*file.shape);
  const std::vector<Placed> placed = place_columns(table, columns);
  const std::uint64_t mapping = mapping_of(table, columns, placed);
  const std::uint64_t first_row = count_rows(table, file);
  const std::uint64_t id = next_file_id_++;
  Statement(
      db_, file_,
      "INSERT INTO ducklake_data_file VALUES (?, ?, ?, NULL, NULL, ?, 1, 'parquet', ?, ?, ?, ?, NULL, NULL, ?, NULL)")
      .bind(id)
      .bind(table)
      .bind(id_)
      .bind(file.name)
      .bind(file.rows)
      .bind(file.bytes)
      .bind(file.statistics.footer_bytes)
      .bind(first_row)
      .bind(mapping)
      .run();
  add_statistics(table, id, file, columns, placed);
  Statement(db_, file_, "UPDATE tailrace_table SET through = max(through, ?) WHERE table_id = ?")
      .bind(file.through.value())
      .bind(table)
      .run();
  filled_.insert(table);
}

void DuckLakeSnapshot::finish(const SnapshotNote& note) {
  for (const std::uint64_t table : altered_) {
    changes_.push_back(fmt::format("altered_table:{}", table));
    note_version(table);
  }
  for (const std::uint64_t table : filled_) changes_.push_back(fmt::format("inserted_into_table:{}", table));
  if (changes_.empty()) return;
  Statement(db_, file_, "INSERT INTO ducklake_snapshot VALUES (?, ?, ?, ?, ?)")
      .bind(id_)
      .bind(moment())
      .bind(schema_version_ + (other_schema_ ? 1 : 0))
      .bind(next_catalog_id_)
      .bind(next_file_id_)
      .run();
  Statement(db_, file_, "INSERT INTO ducklake_snapshot_changes VALUES (?, ?, ?, ?, ?)")
      .bind(id_)
      .bind(fmt::format("{}", fmt::join(changes_, ",")))
      .bind(note.author)
      .bind(note.message)
      .bind(note.extra)
      .run();
}

}  // namespace tailrace::lake
