#include "sinks/duckdb/query.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sinks/duckdb/answer_text.h"
#include "sinks/duckdb/handle.h"
#include "sinks/duckdb/types.h"

namespace tailrace::duckdb {
namespace {

constexpr std::uint64_t kOwnMemory = 512ULL << 20;

BadConfigError not_a_question(const std::string& what) {
  return BadConfigError("TR620", what, "ask with one SELECT; a target is written by its pipeline only");
}

/// A file for an answer that DuckDB writes by itself; goes away with this object.
class TemporaryFile {
 public:
  TemporaryFile()
      : path_(std::filesystem::temp_directory_path() /
              fmt::format("tailrace-query-{}-{}", ::getpid(), number_.fetch_add(1))) {}
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  static inline std::atomic<int> number_{0};
  std::filesystem::path path_;
};

}  // namespace

class DuckdbQuery::State {
 public:
  explicit State(const std::filesystem::path& path)
      : database_(open(path)), connection_(database_), file_(current_database()) {
    connection_.run("SET TimeZone = 'UTC'");
    connection_.show_values_in_errors();
  }
  ~State() {
    if (as_of_.empty()) return;
    // The connection is on its way out; a catalog that cannot be detached goes with the database.
    for (const std::string& sql : {use_file(), detach_past()}) {
      Result ignored;
      duckdb_query(connection_.get(), sql.c_str(), ignored.get());
      ignored.adopt();
    }
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void run(const QueryRequest& request, const QueryOutput& output) {
    const bool explains = check(request.sql);
    if (request.as_of) {
      attach_past(*request.as_of);
    } else {
      look_at(file_);
    }
    connection_.run("BEGIN TRANSACTION READ ONLY");
    try {
      answer(request, explains, output);
    } catch (const RefusedError& error) {
      connection_.run("ROLLBACK");
      throw BadConfigError("TR621", error.what(), "mend the query");
    } catch (...) {
      connection_.run("ROLLBACK");
      throw;
    }
    connection_.run("COMMIT");
  }
  void interrupt() { connection_.interrupt(); }

 private:
  static std::shared_ptr<Database> open(const std::filesystem::path& path) {
    if (!std::filesystem::exists(path))
      throw RefusedError("TR623", fmt::format("there is no file {}", path.string()), "name the target of a pipeline");
    return Database::share_or_read(path, {kOwnMemory, 2, true});
  }

  std::string current_database() { return connection_.rows("SELECT current_database()").front().front().second; }

  /// Whether it is an EXPLAIN. Throws for what is not one question.
  bool check(const std::string& sql) {
    duckdb_extracted_statements statements = nullptr;
    const idx_t count = duckdb_extract_statements(connection_.get(), sql.c_str(), &statements);
    std::string error;
    if (count == 0) {
      const char* text = duckdb_extract_statements_error(statements);
      error = text == nullptr ? "there is no statement" : text;
    }
    duckdb_destroy_extracted(&statements);
    if (count == 0) throw BadConfigError("TR621", error, "mend the query");
    if (count > 1) throw not_a_question("the query has more than one statement");
    duckdb_prepared_statement prepared = nullptr;
    const bool understood = duckdb_prepare(connection_.get(), sql.c_str(), &prepared) == DuckDBSuccess;
    const auto type = understood ? duckdb_prepared_statement_type(prepared) : DUCKDB_STATEMENT_TYPE_SELECT;
    duckdb_destroy_prepare(&prepared);
    if (type != DUCKDB_STATEMENT_TYPE_SELECT && type != DUCKDB_STATEMENT_TYPE_EXPLAIN)
      throw not_a_question("the query would change something");
    return type == DUCKDB_STATEMENT_TYPE_EXPLAIN;
  }

  /// Names without a schema are looked for in `public`, then in `main`.
  void look_at(const std::string& database) {
    const auto found = connection_.rows(
        fmt::format("SELECT schema_name FROM duckdb_schemas() WHERE database_name = {} AND schema_name = 'public'",
                    literal(database)));
    const std::string name = identifier(database);
    const std::string path = found.empty() ? name + ".main" : fmt::format("{0}.public,{0}.main", name);
    connection_.run("SET search_path = " + literal(path));
  }

  std::string use_file() const { return "SET search_path = " + literal(identifier(file_) + ".main"); }
  std::string detach_past() const { return "DETACH " + identifier(as_of_); }
  void detach() {
    connection_.run(use_file());
    connection_.run(detach_past());
    as_of_.clear();
  }

  /// A catalog in memory whose views, under the tables' own names, look at the histories.
  void attach_past(const AsOf& as_of) {
    static std::atomic<int> number{0};
    if (!as_of_.empty()) detach();
    const std::string name = fmt::format("as_of_{}", number.fetch_add(1));
    connection_.run(fmt::format("ATTACH ':memory:' AS {} (READ_WRITE)", identifier(name)));
    as_of_ = name;
    const std::string moment =
        as_of.time
            ? fmt::format(
                  "effective_from <= make_timestamptz({0}) AND (effective_to IS NULL OR effective_to > "
                  "make_timestamptz({0}))",
                  as_of.time->unix_micros())
            : fmt::format("from_lsn <= {0} AND (to_lsn IS NULL OR to_lsn > {0})", as_of.lsn.value_or(Lsn()).value());
    for (const TextRow& table : connection_.rows(
             fmt::format("SELECT b.schema_name, b.table_name FROM {0}.tailrace.baselines b", identifier(file_)))) {
      const std::string schema = identifier(name) + "." + identifier(table[0].second);
      connection_.run("CREATE SCHEMA IF NOT EXISTS " + schema);
      connection_.run(fmt::format(
          "CREATE VIEW {}.{} AS SELECT COLUMNS(c -> c NOT IN ('effective_from', 'effective_to', 'is_current', "
          "'from_lsn', 'to_lsn', 'from_seq', 'to_seq')) FROM {}.{}.{} WHERE {}",
          schema, identifier(table[1].second), identifier(file_), identifier(table[0].second),
          identifier(table[1].second + "__history"), moment));
    }
    look_at(name);
  }

  void answer(const QueryRequest& request, bool explains, const QueryOutput& output) {
    std::string sql = request.sql;
    while (!sql.empty() && (std::isspace(static_cast<unsigned char>(sql.back())) != 0 || sql.back() == ';'))
      sql.pop_back();
    if (request.format == QueryFormat::kParquet) return answer_parquet(sql, output);
    if (request.format == QueryFormat::kJson || request.format == QueryFormat::kJsonLines)
      return answer_json(sql, request.format == QueryFormat::kJson, output);
    const std::string wrapped = explains ? sql : fmt::format("SELECT COLUMNS(*)::VARCHAR FROM (\n{}\n) AS answer", sql);
    std::optional<TableText> table;
    each_row(
        wrapped,
        [&](const std::vector<std::string>& names) {
          if (request.format == QueryFormat::kTable) {
            table.emplace(names, output);
            return;
          }
          TextRow header;
          for (const std::string& name : names) header.emplace_back(true, name);
          output(csv_line(header));
        },
        [&](TextRow row) {
          if (table) {
            table->add(std::move(row));
          } else {
            output(csv_line(row));
          }
        });
    if (table) table->finish();
  }

  void answer_json(const std::string& sql, bool as_array, const QueryOutput& output) {
    bool first = true;
    if (as_array) output("[");
    each_row(
        fmt::format("SELECT to_json(answer)::VARCHAR FROM (\n{}\n) AS answer", sql),
        [](const std::vector<std::string>&) {},
        [&](TextRow row) {
          if (as_array) output(first ? "\n" : ",\n");
          first = false;
          output(row.front().second);
          if (!as_array) output("\n");
        });
    if (as_array) output("\n]\n");
  }

  void answer_parquet(const std::string& sql, const QueryOutput& output) {
    const TemporaryFile file;
    connection_.run(fmt::format("COPY (\n{}\n) TO {} (FORMAT parquet)", sql, literal(file.path().string())));
    std::ifstream in(file.path(), std::ios::binary);
    std::vector<char> buffer(1 << 20);
    while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0)
      output({buffer.data(), static_cast<std::size_t>(in.gcount())});
  }

  /// REQUIRES: all columns are text. The answer is never whole in memory.
  template <typename Header, typename Take>
  void each_row(const std::string& sql, Header header, Take take) {
    Result result = connection_.stream(sql);
    std::vector<std::string> names;
    for (idx_t n = 0; n < duckdb_column_count(result.get()); ++n)
      names.emplace_back(duckdb_column_name(result.get(), n));
    header(names);
    read_text_rows(result, take);
  }

  std::shared_ptr<Database> database_;
  Connection connection_;
  std::string file_;
  std::string as_of_;
};

DuckdbQuery::DuckdbQuery(const std::filesystem::path& path) : state_(std::make_unique<State>(path)) {}
DuckdbQuery::~DuckdbQuery() = default;
void DuckdbQuery::run(const QueryRequest& request, const QueryOutput& output) { state_->run(request, output); }
void DuckdbQuery::interrupt() { state_->interrupt(); }

}  // namespace tailrace::duckdb
