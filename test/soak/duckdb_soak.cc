// Writes to a DuckDB file the way Tailrace's sink does, to be killed at any moment, and checks what is left.
//
//   duckdb_soak write FILE SEED ROUND_SEED   check FILE, then apply batches until killed
//   duckdb_soak check FILE SEED              check FILE and end
//   duckdb_soak version
// Further arguments NAME=VALUE are settings of DuckDB.
//
// It reports on standard output, one event a line, each after it happened:
//   cut BYTES | opened | verified CURSOR SIGNS_LOST | begin N | committing N | done N | checkpoint | checkpointed MS |
//   refused TEXT | reopen | fail CLASS TEXT
// After `fail` it ends with 3.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <unordered_set>

#include "soak/model.h"
#include "soak/target.h"

namespace tailrace::soak {
namespace {

/// The file does not hold what it must: a finding, not a bug of the soak.
class Finding : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The name of the file says how it is laid out.
Layout layout_of(const std::string& path) {
  return path.ends_with("small.duckdb") ? Layout::kSmall : Layout::kOrdinary;
}

// One write per line, below PIPE_BUF, so that a kill never leaves half a line and threads do not mix.
void report(std::string line) {
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  line.resize(std::min<size_t>(line.size(), 1000));
  line += '\n';
  if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) std::_Exit(4);  // the driver is gone
}

void create_schema(Connection& connection, const World& world) {
  connection.run("BEGIN");
  connection.run("CREATE SCHEMA shop");
  connection.run("CREATE SCHEMA tailrace");
  connection.run("CREATE TABLE tailrace.cursor (sink VARCHAR, batch BIGINT)");
  connection.run("INSERT INTO tailrace.cursor VALUES ('soak', 0)");
  for (const Table& table : world.tables()) connection.run(create_statement(table));
  connection.run("COMMIT");
}

int64_t read_cursor(Connection& connection, const World& world) {
  const int64_t tables = connection.number(
      "SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() AND schema_name <> "
      "'tailrace'",
      0);
  if (tables == 0) {
    create_schema(connection, world);
    return 0;
  }
  if (tables != static_cast<int64_t>(world.tables().size())) throw Finding("tables: " + std::to_string(tables));
  const int64_t rows = connection.number("SELECT count(*) FROM tailrace.cursor", 0);
  if (rows != 1) throw Finding("cursor rows: " + std::to_string(rows));
  return connection.number("SELECT batch FROM tailrace.cursor", -1);
}

// Compares every cell of the table. Returns how many doubles came back as 0 instead of -0.
uint64_t verify_table(Connection& connection, const Table& table, uint64_t seed) {
  std::string list;
  for (const Column& column : table.columns()) list += (list.empty() ? "\"" : ", \"") + column.name + "\"";
  std::unordered_set<uint64_t> seen;
  uint64_t signs_lost = 0;
  connection.read("SELECT * FROM " + table.name(), [&](duckdb_data_chunk chunk) {
    if (duckdb_data_chunk_get_column_count(chunk) != table.columns().size()) {
      throw Finding(table.name() + ": other columns than expected");
    }
    for (uint64_t i = 0; i < duckdb_data_chunk_get_size(chunk); ++i) {
      Row row;
      row.id = read_cell(duckdb_data_chunk_get_vector(chunk, 0), Kind::kInt64, i).integer;
      row.version = read_cell(duckdb_data_chunk_get_vector(chunk, 1), Kind::kInt64, i).integer;
      const std::string place =
          table.name() + " row " + std::to_string(row.id) + " of batch " + std::to_string(row.version);
      const std::optional<int64_t> until = table.until(row.id, row.version);
      if (!until) throw Finding(place + " must not be there");
      row.until = *until;
      if (!seen.insert(mix(static_cast<uint64_t>(row.id), static_cast<uint64_t>(row.version))).second) {
        throw Finding(place + " is there twice");
      }
      for (size_t c = 0; c < table.columns().size(); ++c) {
        const Column& column = table.columns()[c];
        const Cell found = read_cell(duckdb_data_chunk_get_vector(chunk, c), column.kind, i);
        const Match match = compare(table.cell(column, row, seed), found, column.kind);
        if (match == Match::kDifferent) throw Finding(place + " differs in column " + column.name);
        signs_lost += match == Match::kSignLost ? 1 : 0;
      }
    }
  });
  if (seen.size() != table.row_count()) {
    throw Finding(table.name() + ": " + std::to_string(seen.size()) + " rows instead of " +
                  std::to_string(table.row_count()));
  }
  // The names, and that a projection by name works after the schema changes.
  connection.run("SELECT " + list + " FROM " + table.name() + " LIMIT 1");
  return signs_lost;
}

void verify(Connection& connection, World& world) {
  const int64_t cursor = read_cursor(connection, world);
  if (cursor < world.cursor()) throw Finding("cursor fell back to " + std::to_string(cursor));
  world.advance_to(cursor);
  uint64_t signs_lost = 0;
  for (const Table& table : world.tables()) signs_lost += verify_table(connection, table, world.seed());
  report("verified " + std::to_string(cursor) + " " + std::to_string(signs_lost));
}

/// A second connection that holds snapshots open and sees that they stand still. Runs until the process is
/// killed or `stop` is called.
class Reader {
 public:
  Reader(const Database& database, uint64_t seed, bool forever)
      : connection_(database), random_(seed), forever_(forever), thread_([this] { loop(); }) {}
  ~Reader() {
    stopping_ = true;
    thread_.join();
  }

 private:
  void loop() {
    try {
      while (!stopping_) hold();
    } catch (const std::runtime_error& error) {
      report(std::string("fail reader ") + error.what());
      std::_Exit(3);
    }
  }

  void hold() {
    connection_.run("BEGIN");
    const int64_t before = fingerprint();
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(20 + random_() % 400);
    while (!stopping_ && (forever_ || std::chrono::steady_clock::now() < end)) {
      if (fingerprint() != before) throw Finding("a reader's snapshot moved");
      std::this_thread::sleep_for(std::chrono::milliseconds(15));
    }
    connection_.run("COMMIT");
  }

  int64_t fingerprint() {
    return connection_.number(
        "SELECT (SELECT batch FROM tailrace.cursor) + (SELECT sum(version * 31 + coalesce(length(s), 7)) "
        "FROM main.recent)"
        "::BIGINT + (SELECT sum(version * 31 + coalesce(until, 7)) FROM shop.orders__history)::BIGINT",
        0);
  }

  Connection connection_;
  std::minstd_rand random_;
  bool forever_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

/// Applies batches one after the other, with checkpoints, rolled-back attempts and reopening in between.
class Writer {
 public:
  Writer(std::string path, uint64_t seed, uint64_t round_seed, Settings settings)
      : path_(std::move(path)),
        settings_(std::move(settings)),
        world_(seed),
        random_(static_cast<uint32_t>(round_seed)) {
    reader_ = std::max(0, static_cast<int>(random_() % 8) - 4);
    checkpoint_every_ = 1 + random_() % 4;
    pause_ms_ = random_() % 3 == 0 ? random_() % 10 : 0;
  }

  /// Never returns; the driver kills the process.
  [[noreturn]] void work() {
    for (;;) {
      open();
      const uint64_t batches = 5 + random_() % 400;
      for (uint64_t i = 0; i < batches; ++i) {
        apply();
        if (random_() % checkpoint_every_ == 0) checkpoint();
        if (pause_ms_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms_));
      }
      report("reopen");
      held_reader_.reset();
      connection_.reset();
      database_.reset();  // checkpoints by itself
    }
  }

 private:
  void open() {
    database_ = std::make_unique<Database>(path_, layout_of(path_), settings_);
    if (database_->cut() > 0) report("cut " + std::to_string(database_->cut()));
    report("opened");
    connection_ = std::make_unique<Connection>(*database_);
    verify(*connection_, world_);
    connection_->run("CREATE TEMP TABLE stage (id BIGINT, version BIGINT)");
    if (reader_ >= 2) held_reader_ = std::make_unique<Reader>(*database_, random_(), reader_ == 3);
  }

  void apply() {
    const Batch batch = world_.plan();
    const std::string number = std::to_string(batch.number);
    report("begin " + number);
    if (random_() % 12 == 0) {
      write(batch);
      connection_->run("ROLLBACK");
    }
    write(batch);
    report("committing " + number);
    connection_->run("COMMIT");
    report("done " + number);
    world_.apply(batch);
  }

  void write(const Batch& batch) {
    connection_->run("BEGIN");
    for (const TableChange& change : batch.changes) {
      for (const std::string& sql : change.ddl) connection_->run(sql);
    }
    for (const TableChange& change : batch.changes) write_rows(batch, change);
    connection_->run("DELETE FROM tailrace.cursor WHERE sink = 'soak'");
    connection_->run("INSERT INTO tailrace.cursor VALUES ('soak', " + std::to_string(batch.number) + ")");
  }

  void write_rows(const Batch& batch, const TableChange& change) {
    const Table& table = world_.tables()[change.table];
    const World::Effect effect = world_.effect(batch, change);
    if (change.emptied) connection_->run("DELETE FROM " + table.name());
    if (table.shape() == Shape::kEvents) {
      if (!effect.deleted.empty()) {
        expect_deleted(table, effect.deleted.size(),
                       "DELETE FROM " + table.name() + " WHERE rowid IN (SELECT rowid FROM " + table.name() +
                           " WHERE version < " + std::to_string(change.trimmed_before) + ")");
      }
      append(table, effect.written);
      return;
    }
    stage(effect.deleted);
    const std::string match = table.shape() == Shape::kHistory ? " AND t.until IS NULL" : "";
    expect_deleted(table, effect.deleted.size(),
                   "DELETE FROM " + table.name() + " t USING temp.stage k WHERE t.id = k.id" + match);
    if (random_() % 15 == 0 && table.shape() == Shape::kMirror) rewrite_twice(table, effect.written);
    append(table, effect.written);
  }

  // A large transaction comes in parts: the second part deletes rows that the first appended.
  void rewrite_twice(const Table& table, const std::vector<Row>& rows) {
    append(table, rows);
    stage(rows);
    expect_deleted(table, rows.size(), "DELETE FROM " + table.name() + " t USING temp.stage k WHERE t.id = k.id");
  }

  void expect_deleted(const Table& table, size_t expected, const std::string& sql) {
    const uint64_t deleted = connection_->run(sql);
    if (deleted == expected) return;
    throw Finding(table.name() + ": deleted " + std::to_string(deleted) + " instead of " + std::to_string(expected));
  }

  void stage(const std::vector<Row>& rows) {
    connection_->run("DELETE FROM temp.stage");
    RowAppender appender(*connection_, "temp.main.stage",
                         {{"id", Kind::kInt64, 0, 0, {}}, {"version", Kind::kInt64, 0, 0, {}}});
    std::vector<Cell> cells(2);
    for (const Row& row : rows) {
      cells[0].integer = row.id;
      cells[1].integer = row.version;
      appender.append(cells);
    }
    appender.close();
  }

  // Directly, or over a temporary table as rows with unchanged values need it.
  void append(const Table& table, const std::vector<Row>& rows) {
    const bool staged = random_() % 3 == 0;
    if (staged) connection_->run("CREATE TEMP TABLE incoming AS FROM " + table.name() + " LIMIT 0");
    RowAppender appender(*connection_, staged ? "temp.main.incoming" : table.name(), table.columns());
    std::vector<Cell> cells(table.columns().size());
    for (const Row& row : rows) {
      for (size_t i = 0; i < cells.size(); ++i) cells[i] = table.cell(table.columns()[i], row, world_.seed());
      appender.append(cells);
    }
    appender.close();
    if (!staged) return;
    connection_->run("INSERT INTO " + table.name() + " SELECT * FROM temp.incoming");
    connection_->run("DROP TABLE temp.incoming");
  }

  void checkpoint() {
    report("checkpoint");
    const auto start = std::chrono::steady_clock::now();
    try {
      connection_->run("CHECKPOINT");
    } catch (const TargetError& error) {
      // With an older reader a schema change holds the checkpoint off; any other refusal is a finding.
      if (reader_ < 2 || std::string(error.what()).find("Cannot CHECKPOINT") == std::string::npos) throw;
      report(std::string("refused ") + error.what());
      return;
    }
    const auto taken = std::chrono::steady_clock::now() - start;
    report("checkpointed " + std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(taken).count()));
  }

  std::string path_;
  Settings settings_;
  World world_;
  std::minstd_rand random_;
  int reader_ = 0;  // 0 and 1: none; 2: snapshots of 20 to 420 ms; 3: one snapshot until the file is closed
  uint64_t checkpoint_every_ = 1;
  uint64_t pause_ms_ = 0;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<Reader> held_reader_;
};

// Takes the NAME=VALUE from the end of the arguments.
Settings take_settings(std::vector<std::string>& arguments) {
  Settings settings;
  while (!arguments.empty() && arguments.back().find('=') != std::string::npos) {
    const size_t at = arguments.back().find('=');
    settings.emplace_back(arguments.back().substr(0, at), arguments.back().substr(at + 1));
    arguments.pop_back();
  }
  return settings;
}

int main_of(std::vector<std::string> arguments) {
  const Settings settings = take_settings(arguments);
  if (arguments.size() == 1 && arguments[0] == "version") {
    report(duckdb_library_version());
    return 0;
  }
  if (arguments.size() == 3 && arguments[0] == "check") {
    World world(std::stoull(arguments[2]));
    Database database(arguments[1], layout_of(arguments[1]), settings);
    report("opened");
    Connection connection(database);
    verify(connection, world);
    return 0;
  }
  if (arguments.size() == 4 && arguments[0] == "write") {
    // Static, so that a failure does not close the file, which would checkpoint over what is to be looked at.
    static Writer writer(arguments[1], std::stoull(arguments[2]), std::stoull(arguments[3]), settings);
    writer.work();
  }
  std::fprintf(stderr, "usage: duckdb_soak write FILE SEED ROUND_SEED | check FILE SEED | version  [NAME=VALUE]...\n");
  return 2;
}

}  // namespace
}  // namespace tailrace::soak

int main(int argc, char** argv) {
  try {
    return tailrace::soak::main_of(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const tailrace::soak::TargetError& error) {
    tailrace::soak::report(std::string("fail duckdb ") + error.what());
  } catch (const tailrace::soak::Finding& finding) {
    tailrace::soak::report(std::string("fail content ") + finding.what());
  }
  std::_Exit(3);  // the reader may still run; nothing is to be closed in order
}
