#pragma once

#include <string>
#include <vector>

#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/table_batch.h"

namespace tailrace::duckdb {

/// Writes what one batch made of one table, inside the transaction that is open on the connection. Made per table and
/// batch. Every step counts what it deletes and compares it with what must have existed.
class TableWriter {
 public:
  TableWriter(Connection& connection, TableBatch& batch);
  void write();

 private:
  // Up to so many rows of the target are looked up by their place (see handle.cc, dynamic_or_filter_threshold).
  static constexpr std::size_t kFewRows = 1000;

  /// A row that needs values from the target, and where it goes.
  struct Staged {
    RowImage image;
    std::uint32_t base;
    bool version;
    const Change* ended_by;
  };
  enum class Written { kWhole, kUnchanged, kRefused };

  void write_keyed();
  void clear_rows();
  void write_unseen();
  void write_slots();
  void fill_staged();
  void stage_rows();
  void insert_filled();
  void delete_keys();
  void delete_all();
  void settle_incomplete();

  void end_versions();
  void end_staged(std::size_t count, bool continues, const Change& some);
  void end_all_versions();
  void write_versions();
  void set_period(RowAppender& rows, const Change& from, const Change* ended_by);

  void write_multiset();
  void delete_multiset();
  void end_multiset_versions();
  void stage_removed();

  Written write_row(RowAppender& rows, const RowImage& image);
  bool needs_target(const RowImage& image) const;
  void expect(std::uint64_t wanted, std::uint64_t found, const Change& change, const char* what);
  RowAppender& mirror_rows();
  RowAppender& history_rows();
  std::int64_t effective(const Change& change) const;
  std::int64_t lsn(const Change& change) const;
  std::int64_t seq(const Change& change) const;

  Connection& connection_;
  TableBatch& batch_;
  Table& table_;
  const TableShape& shape_;
  std::vector<Staged> staged_;
  std::vector<bool> filled_columns_;
  std::vector<Field> key_fields_;
};

constexpr std::size_t kHistoryColumns = kHistoryColumnNames.size();
/// Their declarations.
std::string history_columns();
/// SQL: all columns of an open version `h` as they are once it ended, for INSERT … BY NAME SELECT. The arguments are
/// SQL. A copied version begins at its fence. What was written before the fence and visible only after it ends such a
/// version below its beginning: then it begins, and ends, there. It held "since at least" anyway.
std::string ended_version(const std::string& moment, const std::string& lsn, const std::string& seq);

}  // namespace tailrace::duckdb
