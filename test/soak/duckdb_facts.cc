// Asks libduckdb the questions whose answers the sink stands on, and prints the answers. Nothing here fails:
// a new version of DuckDB is judged by comparing what it prints with docs/duckdb-soak.md.
//
//   duckdb_facts DIRECTORY [PROBE]

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "soak/model.h"
#include "soak/target.h"

namespace tailrace::soak {
namespace {

const std::vector<Column> kTwoColumns = {{"id", Kind::kInt64, 0, 0, {}}, {"d", Kind::kDouble, 0, 0, {}}};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// "ok, N rows" or DuckDB's own text.
std::string outcome(Connection& connection, const std::string& sql) {
  try {
    const uint64_t rows = connection.run(sql);
    return rows == 0 ? "ok" : "ok, " + std::to_string(rows) + " rows";
  } catch (const TargetError& error) {
    return std::string("REFUSED ") + error.what();
  }
}

/// Runs the statements in turn and says which was the first refused, if any.
std::string outcome(Connection& connection, const std::vector<std::string>& statements) {
  for (const std::string& sql : statements) {
    const std::string text = outcome(connection, sql);
    if (text.starts_with("REFUSED")) {
      outcome(connection, std::string("ROLLBACK"));
      return text;
    }
  }
  return "ok";
}

void say(const std::string& question, const std::string& answer) {
  std::printf("%-64s %s\n", (question + ":").c_str(), answer.c_str());
}

int64_t negative_zeros(Connection& connection, const std::string& table) {
  return connection.number("SELECT count(*) FROM " + table + " WHERE d = 0 AND d::VARCHAR = '-0.0'", 0);
}

void append_doubles(Connection& connection, const std::string& table, int64_t rows,
                    const std::function<double(int64_t)>& value) {
  RowAppender appender(connection, table, kTwoColumns);
  std::vector<Cell> cells(2);
  for (int64_t i = 0; i < rows; ++i) {
    cells[0].integer = i;
    cells[1].number = value(i);
    appender.append(cells);
  }
  appender.close();
}

void probe_sign_of_zero(const std::string& path) {
  const std::vector<std::pair<std::string, std::function<double(int64_t)>>> shapes = {
      {"constant", [](int64_t) { return -0.0; }},
      {"alternating", [](int64_t i) { return i % 2 == 0 ? -0.0 : 0.0; }},
      {"runs", [](int64_t i) { return i / 100 % 2 == 0 ? -0.0 : 0.0; }},
      {"among_noise", [](int64_t i) { return i % 10 == 0 ? -0.0 : std::sin(static_cast<double>(i)); }},
      {"among_prices", [](int64_t i) { return i % 10 == 0 ? -0.0 : static_cast<double>(i % 1000) / 100; }},
  };
  const auto count_all = [&](Connection& connection, const std::string& when) {
    for (const auto& [name, value] : shapes) {
      say("-0.0 kept of 10000 rows, " + name + ", " + when, std::to_string(negative_zeros(connection, "main." + name)));
    }
  };
  {
    Database database(path, Layout::kOrdinary);
    Connection connection(database);
    for (const auto& [name, value] : shapes) {
      connection.run("CREATE TABLE " + name + " (id BIGINT, d DOUBLE)");
      append_doubles(connection, "main." + name, 10000, value);
    }
    count_all(connection, "before a checkpoint");
    connection.run("CHECKPOINT");
    count_all(connection, "after a checkpoint");
  }
  Database database(path, Layout::kOrdinary);
  Connection connection(database);
  for (const auto& [name, value] : shapes) {
    const std::string sql =
        "SELECT count(DISTINCT compression)::BIGINT FROM pragma_storage_info('" + name + "') WHERE column_name = 'd'";
    connection.read("SELECT string_agg(DISTINCT compression, ',') FROM pragma_storage_info('" + name +
                        "') WHERE column_name = 'd' AND segment_type = 'DOUBLE'",
                    [&](duckdb_data_chunk chunk) {
                      say("compression of " + name,
                          read_cell(duckdb_data_chunk_get_vector(chunk, 0), Kind::kText, 0).text);
                    });
  }
}

void probe_checkpoint_beside_reader(const std::string& path) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> changes = {
      {"nothing", {}},
      {"DELETE + INSERT of committed rows",
       {"BEGIN", "DELETE FROM t WHERE id < 500", "INSERT INTO t SELECT range, 1 FROM range(500)", "COMMIT"}},
      {"DELETE of all rows", {"DELETE FROM t"}},
      {"INSERT of 200000 rows", {"INSERT INTO t SELECT range, 1 FROM range(200000)"}},
      {"DELETE USING a temporary table + INSERT",
       {"BEGIN", "DELETE FROM t USING temp.stage k WHERE t.id = k.id", "INSERT INTO t SELECT id, 1 FROM temp.stage",
        "COMMIT"}},
      {"ALTER, DELETE and INSERT in one transaction",
       {"BEGIN", "ALTER TABLE t ADD COLUMN x BIGINT", "DELETE FROM t WHERE id < 500",
        "INSERT INTO t SELECT range, 1, 1 FROM range(500)", "COMMIT"}},
      {"DELETE + INSERT of committed rows, twice",
       {"BEGIN", "DELETE FROM t WHERE id < 500", "INSERT INTO t SELECT range, 1 FROM range(500)", "COMMIT", "BEGIN",
        "DELETE FROM t WHERE id < 500", "INSERT INTO t SELECT range, 1 FROM range(500)", "COMMIT"}},
      {"UPDATE", {"UPDATE t SET d = 2 WHERE id < 500"}},
      {"ADD COLUMN", {"ALTER TABLE t ADD COLUMN x BIGINT"}},
      {"DROP COLUMN", {"ALTER TABLE t DROP COLUMN d"}},
      {"RENAME COLUMN", {"ALTER TABLE t RENAME COLUMN d TO e"}},
      {"CREATE TABLE of another", {"CREATE TABLE other (a BIGINT)"}},
      {"DROP TABLE and CREATE TABLE", {"BEGIN", "DROP TABLE t", "CREATE TABLE t (id BIGINT, d DOUBLE)", "COMMIT"}},
      {"CREATE and DROP of a temporary table", {"CREATE TEMP TABLE x AS FROM t", "DROP TABLE temp.x"}},
      {"DELETE and INSERT in a temporary table", {"DELETE FROM temp.stage", "INSERT INTO temp.stage VALUES (1)"}},
  };
  for (const auto& [name, statements] : changes) {
    std::filesystem::remove(path);
    std::filesystem::remove(path + ".wal");
    Database database(path, Layout::kOrdinary);
    Connection writer(database);
    Connection reader(database);
    writer.run("CREATE TABLE t AS SELECT range AS id, 0.5::DOUBLE AS d FROM range(1000)");
    writer.run("CREATE TEMP TABLE stage (id BIGINT)");
    writer.run("CHECKPOINT");
    reader.run("BEGIN");
    reader.run("SELECT sum(id) FROM t");
    const std::string changed = outcome(writer, statements);
    const std::string checkpointed = outcome(writer, std::string("CHECKPOINT"));
    say("CHECKPOINT beside a reader, after " + name, changed + "; " + checkpointed.substr(0, 120));
    reader.run("SELECT sum(id) FROM t");
    reader.run("COMMIT");
    say("... and once the reader is gone", outcome(writer, std::string("CHECKPOINT")));
  }
}

void probe_order_in_transaction(const std::string& path) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> orders = {
      {"DELETE of committed rows, ALTER, COMMIT",
       {"BEGIN", "DELETE FROM t WHERE id < 5", "ALTER TABLE t ADD COLUMN x BIGINT", "COMMIT"}},
      {"INSERT, ALTER, COMMIT",
       {"BEGIN", "INSERT INTO t VALUES (1, 1)", "ALTER TABLE t ADD COLUMN x BIGINT", "COMMIT"}},
      {"ALTER, DELETE, INSERT, COMMIT",
       {"BEGIN", "ALTER TABLE t ADD COLUMN x BIGINT", "DELETE FROM t WHERE id < 5", "INSERT INTO t VALUES (1, 1, 1)",
        "COMMIT"}},
      {"ALTER, INSERT, ALTER, COMMIT",
       {"BEGIN", "ALTER TABLE t ADD COLUMN x BIGINT", "INSERT INTO t VALUES (1, 1, 1)", "ALTER TABLE t DROP COLUMN x",
        "COMMIT"}},
      {"INSERT, DELETE of it, ALTER, COMMIT",
       {"BEGIN", "INSERT INTO t VALUES (-1, 1)", "DELETE FROM t WHERE id = -1", "ALTER TABLE t ADD COLUMN x BIGINT",
        "COMMIT"}},
      {"DELETE in one table, ALTER of another, COMMIT",
       {"BEGIN", "DELETE FROM t WHERE id < 5", "ALTER TABLE u ADD COLUMN x BIGINT", "COMMIT"}},
      {"DELETE, DROP TABLE, CREATE TABLE, COMMIT",
       {"BEGIN", "DELETE FROM t WHERE id < 5", "DROP TABLE t", "CREATE TABLE t (a BIGINT)", "COMMIT"}},
      {"RENAME TABLE, CREATE TABLE with the old name, COMMIT",
       {"BEGIN", "ALTER TABLE t RENAME TO v", "CREATE TABLE t (a BIGINT)", "COMMIT"}},
      {"CHECKPOINT inside a transaction that has written",
       {"BEGIN", "DELETE FROM t WHERE id < 5", "CHECKPOINT", "COMMIT"}},
  };
  for (const auto& [name, statements] : orders) {
    std::filesystem::remove(path);
    std::filesystem::remove(path + ".wal");
    Database database(path, Layout::kOrdinary);
    Connection connection(database);
    connection.run("CREATE TABLE t AS SELECT range AS id, 0.5::DOUBLE AS d FROM range(1000)");
    connection.run("CREATE TABLE u (a BIGINT)");
    connection.run("CHECKPOINT");
    say(name, outcome(connection, statements));
    say("... and a statement after it", outcome(connection, std::string("INSERT INTO u (a) VALUES (1)")));
  }
}

void probe_appender(const std::string& path) {
  Database database(path, Layout::kOrdinary);
  Connection connection(database);
  connection.run("CREATE TABLE t (id BIGINT, d DOUBLE, e BIGINT DEFAULT 7, n BIGINT NOT NULL DEFAULT 8)");
  connection.run("CREATE TABLE plain (id BIGINT, d DOUBLE)");
  connection.run("BEGIN");
  append_doubles(connection, "main.plain", 300000, [](int64_t) { return 1.0; });
  say("rows of an appender seen in its own transaction",
      std::to_string(connection.number("SELECT count(*) FROM plain", 0)));
  connection.run("ROLLBACK");
  say("rows of an appender after ROLLBACK", std::to_string(connection.number("SELECT count(*) FROM plain", -1)));
  {
    connection.run("BEGIN");
    RowAppender dropped(connection, "main.plain", kTwoColumns);
    for (int i = 0; i < 3000; ++i) dropped.append(std::vector<Cell>(2));
  }
  say("rows of an appender destroyed without close (2048 of 3000 sent)",
      std::to_string(connection.number("SELECT count(*) FROM plain", -1)));
  connection.run("ROLLBACK");
  try {
    append_doubles(connection, "main.t", 1, [](int64_t) { return 1.0; });
    say("chunk with 2 of 4 columns", "ok");
  } catch (const TargetError& error) {
    say("chunk with 2 of 4 columns", error.what());
  }
  duckdb_appender some = nullptr;
  duckdb_appender_create(connection.handle(), "main", "t", &some);
  const bool named =
      duckdb_appender_add_column(some, "d") == DuckDBSuccess && duckdb_appender_add_column(some, "id") == DuckDBSuccess;
  duckdb_append_double(some, 2.5);
  duckdb_append_int64(some, 42);
  const bool sent = duckdb_appender_end_row(some) == DuckDBSuccess && duckdb_appender_close(some) == DuckDBSuccess;
  duckdb_appender_destroy(&some);
  say("appender with 2 columns named, the others take their default",
      std::string(named && sent ? "ok, " : "REFUSED, ") +
          std::to_string(connection.number("SELECT count(*) FROM t WHERE id = 42 AND e = 7 AND n = 8", 0)) + " row");
}

void probe_failed_append(const std::string& path) {
  Database database(path, Layout::kOrdinary);
  Connection connection(database);
  connection.run("CREATE TABLE plain (id BIGINT NOT NULL, d DOUBLE)");
  connection.run("BEGIN");
  try {
    RowAppender appender(connection, "main.plain", kTwoColumns);
    Cell null;
    null.null = true;
    appender.append({null, Cell{}});
    appender.close();
    say("NULL appended into NOT NULL", "ok");
  } catch (const TargetError& error) {
    say("NULL appended into NOT NULL", error.what());
  }
  say("a statement in the same transaction then", outcome(connection, std::string("SELECT 1")));
  say("ROLLBACK then", outcome(connection, std::string("ROLLBACK")));
  say("rows after that", std::to_string(connection.number("SELECT count(*) FROM plain", -1)));
}

void probe_second_open(const std::string& path) {
  Database database(path, Layout::kOrdinary);
  Connection connection(database);
  connection.run("CREATE TABLE t (id BIGINT)");
  std::fflush(stdout);
  if (const pid_t child = ::fork(); child == 0) {
    duckdb_database other = nullptr;
    char* text = nullptr;
    const duckdb_state state = duckdb_open_ext(path.c_str(), &other, nullptr, &text);
    say("opening a file that another process holds", state == DuckDBSuccess ? "ok" : text);
    std::fflush(stdout);
    std::_Exit(0);
  } else {
    ::waitpid(child, nullptr, 0);
  }
}

// What a process that dies within COMMIT leaves: all of the transaction's log but the entry that commits.
void commit_and_tear(const std::string& path, int64_t rows) {
  if (const pid_t child = ::fork(); child == 0) {
    Database database(path, Layout::kOrdinary);
    Connection connection(database);
    connection.run("CREATE TABLE t (id BIGINT, d DOUBLE)");
    connection.run("CHECKPOINT");
    append_doubles(connection, "main.t", rows, [](int64_t i) { return static_cast<double>(i); });
    std::_Exit(0);
  } else {
    ::waitpid(child, nullptr, 0);
  }
  constexpr std::uintmax_t kCommitEntry = 21;
  std::filesystem::resize_file(path + ".wal", std::filesystem::file_size(path + ".wal") - kCommitEntry);
}

void probe_torn_log(const std::string& path) {
  for (const int64_t rows : {50000, 200000}) {
    for (const bool keep : {true, false}) {
      std::filesystem::remove(path);
      std::filesystem::remove(path + ".wal");
      commit_and_tear(path, rows);
      Database database(path, Layout::kOrdinary, keep ? Settings{{"torn_log", "keep"}} : Settings{});
      Connection connection(database);
      say("rows seen of " + std::to_string(rows) + " never committed" + (keep ? "" : ", after our cut"),
          std::to_string(connection.number("SELECT count(*) FROM t", -1)));
    }
  }
}

std::string resident_peak() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::to_string(std::stoll(line.substr(6)) / 1024) + " MiB";
  }
  return "?";
}

const std::vector<Column> kEvents = {{"id", Kind::kInt64, 0, 0, {}},      {"at", Kind::kInstant, 0, 0, {}},
                                     {"kind", Kind::kText, 0, 0, {}},     {"user_id", Kind::kInt64, 0, 0, {}},
                                     {"amount", Kind::kDouble, 0, 0, {}}, {"payload", Kind::kText, 0, 0, {}}};

// About 240 bytes a row.
std::vector<Cell> event(int64_t id) {
  const uint64_t hash = mix(static_cast<uint64_t>(id));
  std::vector<Cell> cells(6);
  cells[0].integer = id;
  cells[1].integer = 1700000000000000 + id * 1000;
  cells[2].text = hash % 3 == 0 ? "page_view" : "purchase_completed";
  cells[3].integer = static_cast<int64_t>(hash % 1000000);
  cells[4].number = static_cast<double>(hash % 100000) / 100;
  for (uint64_t i = 0; i < 11; ++i) {
    char part[20];
    std::snprintf(part, sizeof part, "%016llx", static_cast<unsigned long long>(mix(hash, i)));
    cells[5].text += part;
  }
  return cells;
}

void events_in_batches(const std::string& path, int64_t rows, int64_t per_transaction, const std::string& memory,
                       const std::string& setting = "SET threads = 2") {
  Database database(path, Layout::kOrdinary);
  Connection connection(database);
  connection.run("SET memory_limit = '" + memory + "'");
  say(setting, outcome(connection, setting));
  connection.run(
      "CREATE TABLE events (id BIGINT, \"at\" TIMESTAMPTZ, kind VARCHAR, user_id BIGINT, amount DOUBLE, "
      "payload VARCHAR)");
  double appending = 0;
  double committing = 0;
  std::vector<std::vector<Cell>> source;
  for (int64_t i = 0; i < 20000; ++i) source.push_back(event(i));
  for (int64_t first = 0; first < rows; first += per_transaction) {
    connection.run("BEGIN");
    auto start = std::chrono::steady_clock::now();
    RowAppender appender(connection, "main.events", kEvents);
    for (int64_t i = 0; i < per_transaction; ++i) {
      appender.append(source[static_cast<size_t>((first + i) % 20000)]);
    }
    appender.close();
    appending += seconds_since(start);
    start = std::chrono::steady_clock::now();
    connection.run("COMMIT");
    committing += seconds_since(start);
  }
  const auto start = std::chrono::steady_clock::now();
  connection.run("CHECKPOINT");
  const double checkpoint = seconds_since(start);
  char text[200];
  std::snprintf(text, sizeof text, "%.2f M rows/s; append %.2f s, commit %.2f s, last checkpoint %.2f s, peak RSS %s",
                static_cast<double>(rows) / 1e6 / (appending + committing + checkpoint), appending, committing,
                checkpoint, resident_peak().c_str());
  say(std::to_string(rows / 1000) + "k events, " + std::to_string(per_transaction / 1000) + "k a transaction, limit " +
          memory,
      text);
}

void probe_settings(const std::string& path) {
  Database database(path, Layout::kOrdinary);
  Connection connection(database);
  for (const char* value : {"512MiB", "512MB", "64MiB", "8MiB"}) {
    connection.run("SET memory_limit = '" + std::string(value) + "'");
    connection.read("SELECT current_setting('memory_limit')", [&](duckdb_data_chunk chunk) {
      say(std::string("SET memory_limit = '") + value + "' while open",
          read_cell(duckdb_data_chunk_get_vector(chunk, 0), Kind::kText, 0).text);
    });
  }
  say("SET threads = 1 while open", outcome(connection, std::string("SET threads = 1")));
  say("SET external_threads = 2 with threads = 1", outcome(connection, std::string("SET external_threads = 2")));
  say("10M distinct groups under 8MiB",
      outcome(connection,
              std::string("SELECT count(*) FROM (SELECT range, count(*) FROM range(10000000) GROUP BY 1)")));
  connection.run("SET memory_limit = '64MiB'");
  say("10M distinct groups under 64MiB",
      outcome(connection,
              std::string("SELECT count(*) FROM (SELECT range, count(*) FROM range(10000000) GROUP BY 1)")));
  say("peak RSS after it", resident_peak());
}

const std::string kNoEarlyWrites = "SET enable_optimistic_write = false";

struct Probe {
  std::string name;
  void (*ask)(const std::string& path);
};

const std::vector<Probe> kProbes = {
    {"sign-of-zero", probe_sign_of_zero},
    {"checkpoint-beside-reader", probe_checkpoint_beside_reader},
    {"order-in-transaction", probe_order_in_transaction},
    {"appender", probe_appender},
    {"failed-append", probe_failed_append},
    {"torn-log", probe_torn_log},
    {"second-open", probe_second_open},
    {"settings", probe_settings},
    {"speed-100k", [](const std::string& path) { events_in_batches(path, 2000000, 100000, "256MiB"); }},
    {"speed-250k", [](const std::string& path) { events_in_batches(path, 2000000, 250000, "256MiB"); }},
    {"speed-10k", [](const std::string& path) { events_in_batches(path, 1000000, 10000, "256MiB"); }},
    {"speed-250k-late",
     [](const std::string& path) { events_in_batches(path, 2000000, 250000, "256MiB", kNoEarlyWrites); }},
    {"one-transaction-late",
     [](const std::string& path) { events_in_batches(path, 2000000, 2000000, "128MiB", kNoEarlyWrites); }},
    {"one-transaction", [](const std::string& path) { events_in_batches(path, 2000000, 2000000, "128MiB"); }},
};

// Each probe has its own process, so that one cannot hurt the next and peaks of memory are its own.
void run_probe(const Probe& probe, const std::string& directory) {
  std::printf("\n[%s]\n", probe.name.c_str());
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string path = directory + "/" + probe.name + ".duckdb";
    std::filesystem::remove(path);
    std::filesystem::remove(path + ".wal");
    try {
      probe.ask(path);
    } catch (const TargetError& error) {
      say("the probe ended early", error.what());
    }
    std::fflush(stdout);
    std::_Exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) say("the process died of signal", std::to_string(WTERMSIG(status)));
}

}  // namespace
}  // namespace tailrace::soak

int main(int argc, char** argv) {
  using namespace tailrace::soak;
  if (argc < 2) {
    std::fprintf(stderr, "usage: duckdb_facts DIRECTORY [PROBE]\n");
    return 2;
  }
  std::filesystem::create_directories(argv[1]);
  std::printf("DuckDB %s\n", duckdb_library_version());
  for (const Probe& probe : kProbes) {
    if (argc < 3 || probe.name == argv[2]) run_probe(probe, argv[1]);
  }
  return 0;
}
