// How fast DuckDB's own appender takes rows like those of load.sql, chunk by chunk, in one transaction, with the
// checkpoint: the limit of a copy into DuckDB. Prints one JSON line.
//
//   duckdb_append FILE events|orders ROWS [MEMORY [THREADS]]

#include <duckdb.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// Deterministic, and too irregular to compress better than the real rows.
class Noise {
 public:
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

  void hex(char* out, size_t digits) {
    static constexpr char kDigits[] = "0123456789abcdef";
    uint64_t bits = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (i % 16 == 0) {
        bits = next();
      }
      out[i] = kDigits[bits & 15];
      bits >>= 4;
    }
  }

 private:
  uint64_t state_ = 88172645463325252ULL;
};

void check(duckdb_state state, const char* what) {
  if (state != DuckDBSuccess) {
    throw std::runtime_error(std::string("DuckDB: ") + what);
  }
}

void execute(duckdb_connection connection, const std::string& sql) {
  check(duckdb_query(connection, sql.c_str(), nullptr), sql.c_str());
}

template <typename T>
T* column(duckdb_data_chunk chunk, idx_t index) {
  return static_cast<T*>(duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, index)));
}

constexpr int64_t kFirstTime = 1767225600000000;  // 2026-01-01 in microseconds

void assign(duckdb_data_chunk chunk, idx_t index, idx_t row, const std::string& text) {
  duckdb_vector_assign_string_element_len(duckdb_data_chunk_get_vector(chunk, index), row, text.data(), text.size());
}

void fill_events(duckdb_data_chunk chunk, int64_t first, idx_t rows, Noise& noise) {
  std::array<char, 96> payload{};
  for (idx_t row = 0; row < rows; ++row) {
    const int64_t id = first + static_cast<int64_t>(row);
    column<int64_t>(chunk, 0)[row] = id;
    column<int32_t>(chunk, 1)[row] = static_cast<int32_t>((id * 7919) % 1000);
    assign(chunk, 2, row, "kind-" + std::to_string(id % 40));
    column<int64_t>(chunk, 3)[row] = kFirstTime + id * 1000000;
    column<int64_t>(chunk, 4)[row] = id % 1000000;
    column<duckdb_hugeint>(chunk, 5)[row] = {noise.next(), static_cast<int64_t>(noise.next())};
    noise.hex(payload.data(), payload.size());
    duckdb_vector_assign_string_element_len(duckdb_data_chunk_get_vector(chunk, 6), row, payload.data(),
                                            payload.size());
  }
}

void fill_orders(duckdb_data_chunk chunk, int64_t first, idx_t rows, Noise&) {
  for (idx_t row = 0; row < rows; ++row) {
    const int64_t id = first + static_cast<int64_t>(row);
    column<int64_t>(chunk, 0)[row] = id;
    column<int32_t>(chunk, 1)[row] = static_cast<int32_t>((id * 7919) % 100000);
    assign(chunk, 2, row, "status-" + std::to_string(id % 5));
    column<int64_t>(chunk, 3)[row] = id % 1000000;
    column<int64_t>(chunk, 4)[row] = kFirstTime + id * 1000000;
  }
}

struct Table {
  const char* definition;
  void (*fill)(duckdb_data_chunk, int64_t, idx_t, Noise&);
};

Table table_named(const std::string& name) {
  if (name == "events") {
    return {
        "id bigint, tenant integer, kind varchar, created_at timestamptz, amount decimal(12, 2), session uuid, "
        "payload varchar",
        &fill_events};
  }
  if (name == "orders") {
    return {"id bigint, customer integer, status varchar, amount decimal(12, 2), created_at timestamp", &fill_orders};
  }
  throw std::runtime_error("the table is events or orders");
}

// Appends all rows in one transaction.
void append(duckdb_connection connection, const std::string& name, const Table& table, int64_t rows) {
  duckdb_appender appender = nullptr;
  check(duckdb_appender_create(connection, nullptr, name.c_str(), &appender), "appender");
  std::vector<duckdb_logical_type> types;
  for (idx_t i = 0; i < duckdb_appender_column_count(appender); ++i) {
    types.push_back(duckdb_appender_column_type(appender, i));
  }
  duckdb_data_chunk chunk = duckdb_create_data_chunk(types.data(), types.size());
  const auto chunk_rows = static_cast<int64_t>(duckdb_vector_size());
  Noise noise;
  for (int64_t first = 1; first <= rows; first += chunk_rows) {
    const auto count = static_cast<idx_t>(std::min(chunk_rows, rows - first + 1));
    duckdb_data_chunk_reset(chunk);
    table.fill(chunk, first, count, noise);
    duckdb_data_chunk_set_size(chunk, count);
    check(duckdb_append_data_chunk(appender, chunk), "append");
  }
  check(duckdb_appender_close(appender), "close");
  duckdb_appender_destroy(&appender);
  duckdb_destroy_data_chunk(&chunk);
  for (duckdb_logical_type& type : types) {
    duckdb_destroy_logical_type(&type);
  }
}

void run(const std::string& file, const std::string& name, int64_t rows, const std::string& memory,
         const std::string& threads) {
  const Table table = table_named(name);
  duckdb_database database = nullptr;
  duckdb_connection connection = nullptr;
  check(duckdb_open(file.c_str(), &database), "open");
  check(duckdb_connect(database, &connection), "connect");
  execute(connection, "SET memory_limit = '" + memory + "'");
  execute(connection, "SET threads = " + threads);
  execute(connection, "CREATE TABLE " + name + " (" + table.definition + ")");
  const auto started = Clock::now();
  execute(connection, "BEGIN");
  append(connection, name, table, rows);
  execute(connection, "COMMIT");
  execute(connection, "CHECKPOINT");
  const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
  duckdb_disconnect(&connection);
  duckdb_close(&database);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("{\"rows\": %ld, \"seconds\": %.4f, \"rows_per_second\": %.0f, \"max_rss_kib\": %ld}\n", rows, seconds,
              static_cast<double>(rows) / seconds, usage.ru_maxrss);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 4 || argc > 6) {
      throw std::runtime_error("usage: duckdb_append FILE events|orders ROWS [MEMORY [THREADS]]");
    }
    run(argv[1], argv[2], std::stoll(argv[3]), argc > 4 ? argv[4] : "512MiB", argc > 5 ? argv[5] : "2");
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "duckdb_append: %s\n", error.what());
    return 1;
  }
}
