// Drives the DuckDB sink with batches made in memory: what applying costs without a source, a network and a log.
//   duckdb_apply_bench DIR [--rows N] [--base N] [--batch ROWS] [--txn ROWS] [--mixed] [--unchanged] [--history]
//                      [--memory MIB] [--threads N] [--part]
// Prints one line: rows/s, CPU seconds per million rows, the slowest batch, the process' largest size.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "model/change_batch.h"
#include "process_cost.h"
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
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(16384);
  relation->schema = "public";
  relation->name = "events";
  relation->primary_key_immediate = true;
  const auto add = [&](const char* name, std::uint32_t type) {
    Column column;
    column.name = name;
    column.attnum = static_cast<std::int16_t>(relation->columns.size() + 1);
    column.type.declared = column.type.base = Oid(type);
    column.primary_key_place = relation->columns.empty() ? 1 : 0;
    column.in_identity = relation->columns.empty();
    relation->columns.push_back(column);
  };
  add("id", 20);
  add("at", 1184);
  add("account", 20);
  add("kind", 25);
  add("source", 25);
  add("device", 2950);
  add("amount", 1700);
  relation->columns.back().type.base_typmod = ((12 << 16) | 2) + 4;
  add("score", 701);
  add("ok", 16);
  add("payload", 3802);
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
    auto batch = std::make_shared<ChangeBatch>();
    auto bytes = std::make_shared<std::string>();
    struct Draft {
      ChangeKind kind;
      std::size_t at;
      std::size_t size;
    };
    std::vector<Draft> drafts;
    std::vector<std::uint64_t> used;
    for (std::uint64_t n = 0; n < rows; ++n) {
      const auto dice = options_.mixed ? random_() % 10 : 9;
      ChangeKind kind = dice < 8 ? ChangeKind::kUpdate : ChangeKind::kInsert;
      std::uint64_t id = kind == ChangeKind::kInsert ? next_id_++ : 1 + random_() % options_.base;
      const std::size_t at = bytes->size();
      write_row(*bytes, id, random_(), options_.unchanged && kind == ChangeKind::kUpdate);
      drafts.push_back({kind, at, bytes->size() - at});
    }
    const std::uint64_t per_txn = options_.one_transaction ? rows : options_.txn;
    for (std::uint64_t n = 0; n < rows; ++n) {
      if (n % per_txn == 0) begin(*batch, first_part, last_part);
      Change change;
      change.kind = drafts[n].kind;
      change.transaction = static_cast<std::uint32_t>(batch->transactions.size() - 1);
      change.ordinal = n % per_txn;
      change.relation = relation_.get();
      change.new_row = TupleView(std::string_view(*bytes).substr(drafts[n].at, drafts[n].size));
      batch->changes.push_back(change);
    }
    batch->end.position = {1, Lsn(lsn_), rows};
    batch->bytes = bytes->size();
    batch->relations.push_back(relation_);
    batch->buffers.push_back(std::move(bytes));
    return batch;
  }

 private:
  void begin(ChangeBatch& batch, bool first_part, bool last_part) {
    if (first_part) lsn_ += 1000;
    Transaction transaction;
    transaction.epoch = 1;
    transaction.commit_end = Lsn(lsn_);
    transaction.xid = Xid(1000000 + static_cast<std::uint32_t>(lsn_ / 1000));
    transaction.monotone_time = transaction.commit_time = PgTime(static_cast<std::int64_t>(lsn_));
    transaction.seq = Seq(lsn_);
    transaction.first_part = first_part;
    transaction.last_part = last_part;
    batch.transactions.push_back(transaction);
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

void copy_base(duckdb::DuckdbSink& sink, const RelationPtr& relation, std::uint64_t rows) {
  sink.begin_copy({relation});
  auto writer = sink.open_copy(relation);
  CopiedRows copied;
  copied.relation = relation;
  for (std::uint64_t id = 1; id <= rows; ++id) {
    write_row(copied.tuples, id, id * 7919);
    ++copied.count;
    if (copied.tuples.size() < (1 << 20) && id != rows) continue;
    writer->append(copied);
    copied.tuples.clear();
    copied.count = 0;
  }
  writer->finish();
  writer.reset();
  CopiedTable done;
  done.relation = relation;
  done.fence.snapshot = *SnapshotXids::parse("10:10:");
  done.fence.end = Lsn(1000);
  done.rows = rows;
  sink.finish_copy(done);
  Cursor start;
  start.position = {1, Lsn(1000), 0};
  sink.finish_copies(start);
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
  copy_base(sink, relation, options.base);
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
