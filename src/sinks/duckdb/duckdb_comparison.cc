#include "sinks/duckdb/duckdb_comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "base/error.h"
#include "model/tuple.h"
#include "sinks/duckdb/expected_rows.h"
#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/postgres_text.h"
#include "sinks/duckdb/state_tables.h"
#include "sinks/duckdb/table.h"

namespace tailrace::duckdb {
namespace {

using sinks::ExpectedRow;
using sinks::Verdict;

constexpr std::uint64_t kOwnMemory = 512ULL << 20;

/// The columns of some rows as DuckDB gives them, brought into texts row by row.
class RowTexts {
 public:
  explicit RowTexts(const TableShape& shape) : shape_(shape), key_(shape.relation->match_key()) {
    for (const Column& column : shape.relation->columns) counted_.push_back(is_counted(column.type));
    integer_key_ = has_integer_key(*shape.relation);
  }

  void look_at(duckdb_data_chunk chunk) {
    vectors_.clear();
    for (idx_t n = 0; n < shape_.width(); ++n) vectors_.push_back(duckdb_data_chunk_get_vector(chunk, n));
  }
  std::uint64_t hash(idx_t row) {
    text_.clear();
    for (std::size_t n = 0; n < shape_.width(); ++n) {
      if (n > 0) text_ += ',';
      add(n, row);
    }
    return hash_text(text_);
  }
  std::size_t bucket(idx_t row, std::uint64_t hash) {
    if (integer_key_) return static_cast<std::uint64_t>(integer(row)) % kBuckets;
    if (key_.empty()) return hash % kBuckets;
    text_.clear();
    for (std::size_t n = 0; n < key_.size(); ++n) {
      if (n > 0) text_ += ',';
      add(key_[n], row);
    }
    return hash_text(text_) % kBuckets;
  }
  std::string key(idx_t row) {
    std::string tuple;
    if (key_.empty()) return tuple;
    TupleWriter writer(tuple, static_cast<std::uint16_t>(key_.size()));
    for (const std::size_t column : key_) {
      text_.clear();
      if (is_valid(vectors_[column], row)) append_postgres_text(shape_.types[column], vectors_[column], row, text_);
      writer.text(text_);
    }
    return tuple;
  }

 private:
  /// See is_counted().
  void add(std::size_t column, idx_t row) {
    if (!is_valid(vectors_[column], row)) {
      if (counted_[column]) text_ += ':';
      return;
    }
    if (!counted_[column]) return append_postgres_text(shape_.types[column], vectors_[column], row, text_);
    value_.clear();
    append_postgres_text(shape_.types[column], vectors_[column], row, value_);
    fmt::format_to(std::back_inserter(text_), "{}:", value_.size());
    text_ += value_;
  }
  std::int64_t integer(idx_t row) const {
    const void* data = duckdb_vector_get_data(vectors_[key_.front()]);
    switch (shape_.types[key_.front()].shape) {
      case Shape::kInt16: return static_cast<const std::int16_t*>(data)[row];
      case Shape::kInt32: return static_cast<const std::int32_t*>(data)[row];
      default: return static_cast<const std::int64_t*>(data)[row];
    }
  }

  const TableShape& shape_;
  const std::vector<std::size_t> key_;
  std::vector<bool> counted_;
  bool integer_key_ = false;
  std::vector<duckdb_vector> vectors_;
  std::string text_;
  std::string value_;
};

std::string condition(const Relation& relation, const KeyRange& range) {
  if (!range.above && !range.up_to) return "";
  const std::string key = identifier(relation.columns[relation.match_key().front()].name);
  std::vector<std::string> all;
  if (range.above) all.push_back(fmt::format("{} > {}", key, *range.above));
  if (range.up_to) all.push_back(fmt::format("{} <= {}", key, *range.up_to));
  return fmt::format(" WHERE {}", fmt::join(all, " AND "));
}

class DuckdbLook final : public sinks::Look {
 public:
  explicit DuckdbLook(const DuckdbSpec& spec) : connection_(Database::share_or_read(spec.path, {kOwnMemory, 1, true})) {
    connection_.run("BEGIN");
    StateTables state(connection_);
    // The first read is what the view is of.
    if (const auto cursor = state.read_cursor()) position_ = cursor->position;
    for (auto& table : state.read_tables(spec)) {
      const RelationPtr& relation = table->shape.relation;
      std::string obstacle;
      if (table->state != TableState::kCopied) obstacle = "it is being copied";
      if (table->hold) obstacle = "it is held: " + table->hold->reason;
      compared_.push_back({relation, obstacle});
      tables_[relation->oid] = std::move(table);
    }
  }

  Position position() const override { return position_; }
  const std::vector<sinks::ComparedTable>& tables() const override { return compared_; }

  BucketDigests digest(const Relation& relation, const KeyRange& range) override {
    BucketDigests buckets(kBuckets);
    each_row(relation, range, [&](RowTexts& texts, idx_t row) {
      const std::uint64_t hash = texts.hash(row);
      BucketDigest& bucket = buckets[texts.bucket(row, hash)];
      ++bucket.rows;
      bucket.sum += hash;
    });
    return buckets;
  }

  std::vector<RowHash> list(const Relation& relation, const KeyRange& range,
                            const std::vector<std::size_t>& buckets) override {
    std::vector<bool> wanted(kBuckets);
    for (const std::size_t bucket : buckets) wanted[bucket] = true;
    std::vector<RowHash> rows;
    each_row(relation, range, [&](RowTexts& texts, idx_t row) {
      const std::uint64_t hash = texts.hash(row);
      if (wanted[texts.bucket(row, hash)]) rows.push_back({texts.key(row), hash});
    });
    return rows;
  }

  std::vector<Verdict> judge(const Relation& relation, const std::vector<ExpectedRow>& rows) override {
    const Table& table = *tables_.at(relation.oid);
    std::vector<Verdict> verdicts(rows.size(), Verdict::kExcused);
    stage_expected(connection_, table, rows);
    for (const TextRow& row : connection_.rows(fmt::format(
             "SELECT s.i::VARCHAR, s.present::VARCHAR, count(t.rowid)::VARCHAR, (count(*) FILTER (WHERE t.rowid IS NOT "
             "NULL "
             "AND {}))::VARCHAR FROM temp.tailrace_expected AS s LEFT JOIN {} AS t ON {} GROUP BY s.i, s.present",
             row_condition(table.shape, "t", "s"), table.mirror_name(), key_condition(table.shape, "t", "s")))) {
      const bool present = row[1].second == "true";
      Verdict verdict = present ? Verdict::kMissing : Verdict::kEqual;
      if (row[2].second == "1" && present) verdict = row[3].second == "1" ? Verdict::kEqual : Verdict::kStale;
      if (row[2].second != "0" && (!present || row[2].second != "1")) verdict = Verdict::kExtra;
      verdicts.at(std::stoull(row[0].second)) = verdict;
    }
    connection_.run("DROP TABLE temp.tailrace_expected");
    return verdicts;
  }

 private:
  template <typename Use>
  void each_row(const Relation& relation, const KeyRange& range, Use use) {
    const Table& table = *tables_.at(relation.oid);
    RowTexts texts(table.shape);
    Result result = connection_.stream(fmt::format("SELECT {} FROM {}{}", listed_columns(*table.shape.relation),
                                                   table.mirror_name(), condition(relation, range)));
    while (duckdb_data_chunk chunk = duckdb_fetch_chunk(*result.get())) {
      const std::unique_ptr<duckdb_data_chunk, void (*)(duckdb_data_chunk*)> owner(&chunk, duckdb_destroy_data_chunk);
      texts.look_at(chunk);
      const idx_t size = duckdb_data_chunk_get_size(chunk);
      for (idx_t row = 0; row < size; ++row) use(texts, row);
    }
    if (const char* error = duckdb_result_error(result.get()); error != nullptr && *error != '\0')
      throw_duckdb_error(duckdb_result_error_type(result.get()), error, "compare a table");
  }

  Connection connection_;
  Position position_;
  std::vector<sinks::ComparedTable> compared_;
  std::map<Oid, std::unique_ptr<Table>> tables_;
};

class DuckdbComparison final : public sinks::Comparison {
 public:
  explicit DuckdbComparison(DuckdbSpec spec) : spec_(std::move(spec)) {}
  std::unique_ptr<sinks::Look> look() override { return std::make_unique<DuckdbLook>(spec_); }

 private:
  const DuckdbSpec spec_;
};

}  // namespace

std::unique_ptr<sinks::Comparison> compare_duckdb(const DuckdbSpec& spec) {
  return std::make_unique<DuckdbComparison>(spec);
}

}  // namespace tailrace::duckdb
