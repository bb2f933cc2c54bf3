// Drives the DuckDB sink with batches made in memory: what applying costs without a source, a network and a log.
//   duckdb_apply_bench DIR [--rows N] [--base N] [--batch ROWS] [--txn ROWS] [--mixed] [--unchanged] [--history]
//                      [--memory MIB] [--threads N] [--part]
// Prints one line: rows/s, CPU seconds per million rows, the slowest batch, the process' largest size.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "made_rows.h"
#include "sinks/duckdb/duckdb_sink.h"

namespace {

using namespace tailrace;

struct Options {
  std::filesystem::path directory;
  std::uint64_t rows = 2000000;
  std::uint64_t base = 0;
  std::uint64_t batch = 100000;
  std::uint64_t txn = 10000;
  bool mixed = false;
  bool history = false;
  bool unchanged = false;
  std::uint64_t memory = 288;
  unsigned threads = 2;
  bool one_transaction = false;
};

Options read_options(int argc, char** argv) {
  Options options;
  options.directory = argc > 1 ? argv[1] : ".";
  for (int n = 2; n < argc; ++n) {
    const std::string_view flag = argv[n];
    const auto value = [&] { return n + 1 < argc ? std::strtoull(argv[++n], nullptr, 10) : 0; };
    if (flag == "--rows") options.rows = value();
    if (flag == "--base") options.base = value();
    if (flag == "--batch") options.batch = value();
    if (flag == "--txn") options.txn = value();
    if (flag == "--memory") options.memory = value();
    if (flag == "--threads") options.threads = static_cast<unsigned>(value());
    if (flag == "--mixed") options.mixed = true;
    if (flag == "--history") options.history = true;
    if (flag == "--unchanged") options.unchanged = true;
    if (flag == "--part") options.one_transaction = true;
  }
  return options;
}

RelationPtr events() {
  const auto relation = made_table("events");
  add_column(*relation, "id", 20);
  add_column(*relation, "at", 1184);
  add_column(*relation, "account", 20);
  add_column(*relation, "kind", 25);
  add_column(*relation, "source", 25);
  add_column(*relation, "device", 2950);
  add_column(*relation, "amount", 1700, numeric_typmod(12, 2));
  add_column(*relation, "score", 701);
  add_column(*relation, "ok", 16);
  add_column(*relation, "payload", 3802);
  return relation;
}

void write_row(std::string& out, std::uint64_t id, std::uint64_t salt, bool unchanged = false) {
  TupleWriter row(out, 10);
  row.text(fmt::format("{}", id));
  row.text(fmt::format("2026-03-{:02} {:02}:{:02}:{:02}.{:06}+00", 1 + id % 28, id % 24, salt % 60, id % 60,
                       salt % 1000000));
  row.text(fmt::format("{}", (id * 2654435761U) % 100000));
  row.text(salt % 3 == 0 ? "page_view" : "purchase");
  row.text("mobile-application-ios");
  row.text(fmt::format("{:08x}-1111-4222-8333-{:012x}", id % 0xffffffff, salt % 0xffffffffffff));
  row.text(fmt::format("{}.{:02}", salt % 100000, id % 100));
  row.text(fmt::format("{}.{}", id % 1000, salt % 1000));
  row.text(salt % 2 == 0 ? "t" : "f");
  if (unchanged) return row.unchanged();
  row.text(fmt::format(R"({{"session": "{:016x}", "path": "/articles/{}", "n": {}}})", salt, id % 5000, salt % 77));
}

/// Makes batches ahead of the clock that measures.
class Load {
 public:
  Load(const Options& options, RelationPtr relation) : options_(options), relation_(std::move(relation)) {
    next_id_ = options.base + 1;
  }

  ChangeBatchPtr make(std::uint64_t rows, bool first_part, bool last_part) {
    MadeBatch batch(relation_);
    for (std::uint64_t n = 0; n < rows; ++n) {
      const auto dice = options_.mixed ? random_() % 10 : 9;
      const ChangeKind kind = dice < 8 ? ChangeKind::kUpdate : ChangeKind::kInsert;
      const std::uint64_t id = kind == ChangeKind::kInsert ? next_id_++ : 1 + random_() % options_.base;
      write_row(batch.next(kind), id, random_(), options_.unchanged && kind == ChangeKind::kUpdate);
    }
    return batch.made(options_.one_transaction ? rows : options_.txn,
                      [&](std::size_t) { return next(first_part, last_part); });
  }

 private:
  Transaction next(bool first_part, bool last_part) {
    if (first_part) lsn_ += 1000;
    Transaction transaction;
    transaction.epoch = 1;
    transaction.commit_end = Lsn(lsn_);
    transaction.xid = Xid(1000000 + static_cast<std::uint32_t>(lsn_ / 1000));
    transaction.monotone_time = transaction.commit_time = PgTime(static_cast<std::int64_t>(lsn_));
    transaction.seq = Seq(lsn_);
    transaction.first_part = first_part;
    transaction.last_part = last_part;
    return transaction;
  }

  const Options& options_;
  RelationPtr relation_;
  std::mt19937_64 random_{42};
  std::uint64_t next_id_ = 1;
  std::uint64_t lsn_ = 1000000;
};

double seconds_since(SteadyClock::time_point from) {
  return std::chrono::duration<double>(SteadyClock::now() - from).count();
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  duckdb::DuckdbSpec spec;
  spec.path = options.directory / "apply_bench.duckdb";
  std::filesystem::remove(spec.path);
  std::filesystem::remove(spec.path.string() + ".wal");
  spec.pipeline = spec.source_id = "bench";
  spec.memory_limit = options.memory << 20;
  spec.threads = options.threads;
  if (options.history) spec.history = {"public.*"};
  duckdb::DuckdbSink sink(spec);
  sink.open();
  const RelationPtr relation = events();
  const auto copy_began = SteadyClock::now();
  Meter unmeasured;
  copy_made_rows(sink, relation, options.base, unmeasured,
                 [](std::string& out, std::uint64_t id) { write_row(out, id, id * 7919); });
  sink.maintain();
  const double copied = seconds_since(copy_began);
  Load load(options, relation);
  std::vector<double> took;
  double cpu = 0;
  auto last_maintain = SteadyClock::now();
  for (std::uint64_t done = 0; done < options.rows; done += options.batch) {
    const std::uint64_t rows = std::min(options.batch, options.rows - done);
    const bool last = done + rows >= options.rows;
    const ChangeBatchPtr batch =
        load.make(rows, !options.one_transaction || done == 0, !options.one_transaction || last);
    const double cpu_before = cpu_seconds();
    const auto began = SteadyClock::now();
    sink.apply(*batch);
    if (batch->ends_transaction()) sink.flush();
    if (batch->ends_transaction() && seconds_since(last_maintain) > 2) {
      sink.maintain();
      last_maintain = SteadyClock::now();
    }
    took.push_back(seconds_since(began));
    cpu += cpu_seconds() - cpu_before;
  }
  double total = 0;
  for (const double t : took) total += t;
  std::ranges::sort(took);
  const auto closing = SteadyClock::now();
  const double cpu_before_close = cpu_seconds();
  sink.release();
  const double cpu_with_close = cpu + cpu_seconds() - cpu_before_close;
  fmt::print(
      "{:.0f} rows/s, {:.2f} CPU s/Mrow ({:.2f} with the last checkpoint), batch ms p50 {:.1f} p99 {:.1f} max {:.1f}, "
      "close {:.2f} s, copy {:.2f} s, peak {} MiB\n",
      static_cast<double>(options.rows) / total, cpu / (static_cast<double>(options.rows) / 1e6),
      cpu_with_close / (static_cast<double>(options.rows) / 1e6), took[took.size() / 2] * 1e3,
      took[took.size() * 99 / 100] * 1e3, took.back() * 1e3, seconds_since(closing), copied, peak_mib());
  return 0;
}
