#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/batch_for_test.h"
#include "sinks/duckdb/duckdb_sink.h"
#include "sinks/duckdb/handle.h"

/// A target file, and what it holds.
namespace tailrace::duckdb::test {

using tailrace::test::Batch;
using tailrace::test::Clock;
using tailrace::test::ColumnSpec;
using tailrace::test::items;
using tailrace::test::Row;
using tailrace::test::table;
using tailrace::test::Value;

/// A DuckDB file in a directory of its own, with a sink on it.
class Target {
 public:
  explicit Target(DuckdbSpec spec = {}) : spec_(std::move(spec)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "tailrace-duckdb-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    spec_.path = directory_ / "target.duckdb";
    if (spec_.pipeline.empty()) spec_.pipeline = "test";
    spec_.source_id = "source";
    spec_.threads = 1;
    open();
  }
  ~Target() {
    sink_.reset();
    std::filesystem::remove_all(directory_);
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  DuckdbSink& sink() { return *sink_; }
  const DuckdbSpec& spec() const { return spec_; }
  const sinks::SinkState& state() const { return state_; }
  std::filesystem::path path() const { return spec_.path; }
  void open() {
    sink_.reset();
    sink_ = std::make_unique<DuckdbSink>(spec_);
    state_ = sink_->open();
  }
  void close() { sink_.reset(); }

  /// Copies the tables with these rows, each table under a fence at `lsn`.
  void copy(const std::vector<std::pair<RelationPtr, std::vector<Row>>>& tables, std::uint64_t lsn = 1000) {
    std::vector<RelationPtr> relations;
    for (const auto& [relation, rows] : tables) relations.push_back(relation);
    sink_->begin_copy(relations);
    for (const auto& [relation, rows] : tables) {
      CopiedRows copied;
      copied.relation = relation;
      for (const Row& row : rows) copied.tuples += tuple_bytes(row);
      copied.count = rows.size();
      auto writer = sink_->open_copy(relation);
      writer->append(copied);
      writer->finish();
      writer.reset();
      Fence fence;
      fence.snapshot = *SnapshotXids::parse("10:10:");
      fence.end = Lsn(lsn);
      fence.taken_at = Batch::at(lsn);
      sink_->finish_copy({relation, fence, rows.size()});
    }
    Cursor start;
    start.position = {1, Lsn(lsn), 0};
    start.seq = Seq(lsn);
    start.commit_time = Batch::at(lsn);
    sink_->finish_copies(start);
  }
  void apply(Batch& batch) {
    sink_->apply(batch.done());
    sink_->flush();
  }

  /// Rows of a query, every value as text, "∅" for NULL.
  std::vector<std::string> query(const std::string& sql) {
    Connection connection(Database::open(spec_.path, {spec_.memory_limit, 1, false}));
    connection.run("SET TimeZone = 'UTC'");
    std::vector<std::string> lines;
    for (const auto& row : connection.rows(sql)) {
      std::string line;
      for (const auto& [valid, text] : row) line += (line.empty() ? "" : "|") + (valid ? text : std::string("∅"));
      lines.push_back(line);
    }
    return lines;
  }
  /// All rows of a table as text, sorted.
  std::vector<std::string> rows(const std::string& name) {
    return query("SELECT COLUMNS(*)::VARCHAR FROM " + name + " ORDER BY ALL");
  }

 private:
  DuckdbSpec spec_;
  std::filesystem::path directory_;
  std::unique_ptr<DuckdbSink> sink_;
  sinks::SinkState state_;
};

}  // namespace tailrace::duckdb::test
