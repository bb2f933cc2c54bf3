// Drives the ClickHouse sink with batches made in memory: what applying costs without a source and a log, and how much
// of the time the server takes.
//   clickhouse_apply_bench URL [--rows N] [--batch ROWS] [--txn ROWS] [--events] [--lz4 | --zstd]
// The database has to be there and empty. Rows are those of `events` in load.sql. Prints one line of JSON: rows/s, CPU
// seconds of this process per million rows, and its largest size. Making the batches is not counted.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "made_rows.h"
#include "sinks/clickhouse/clickhouse_target.h"
#include "sinks/row_sink.h"

namespace {

using namespace tailrace;

struct Options {
  std::string url;
  std::uint64_t rows = 2'000'000;
  std::uint64_t batch = 100'000;
  std::uint64_t txn = 10'000;
  bool events = false;
  net::Compression compression = net::Compression::kNone;
};

Options read_options(int argc, char** argv) {
  Options options;
  if (argc > 1) options.url = argv[1];
  for (int n = 2; n < argc; ++n) {
    const std::string_view flag = argv[n];
    const auto value = [&] { return n + 1 < argc ? std::strtoull(argv[++n], nullptr, 10) : 0; };
    if (flag == "--rows") options.rows = value();
    if (flag == "--batch") options.batch = value();
    if (flag == "--txn") options.txn = value();
    if (flag == "--events") options.events = true;
    if (flag == "--lz4") options.compression = net::Compression::kLz4;
    if (flag == "--zstd") options.compression = net::Compression::kZstd;
  }
  return options;
}

RelationPtr events() {
  const auto relation = made_table("events");
  add_column(*relation, "id", 20).not_null = true;
  add_column(*relation, "tenant", 23).not_null = true;
  add_column(*relation, "kind", 25).not_null = true;
  add_column(*relation, "created_at", 1184).not_null = true;
  add_column(*relation, "amount", 1700, numeric_typmod(12, 2));
  add_column(*relation, "session", 2950).not_null = true;
  add_column(*relation, "payload", 25).not_null = true;
  return relation;
}

/// As scattered as the md5() of the load.
std::string hex(std::uint64_t seed) {
  std::array<std::uint64_t, 2> parts{};
  for (std::uint64_t& part : parts) {
    seed += 0x9e3779b97f4a7c15U;
    part = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9U;
    part = (part ^ (part >> 27)) * 0x94d049bb133111ebU;
    part ^= part >> 31;
  }
  return fmt::format("{:016x}{:016x}", parts[0], parts[1]);
}

void write_row(std::string& out, std::uint64_t id) {
  TupleWriter row(out, 7);
  row.text(fmt::format("{}", id));
  row.text(fmt::format("{}", (id * 7919) % 1000));
  row.text(fmt::format("kind-{}", id % 40));
  const std::uint64_t second = id % 86'400;
  row.text(fmt::format("2026-01-{:02} {:02}:{:02}:{:02}+00", 1 + id / 86'400 % 28, second / 3600, second / 60 % 60,
                       second % 60));
  row.text(fmt::format("{}.{:02}", id % 1'000'000 / 100, id % 100));
  const std::string session = hex(id);
  row.text(fmt::format("{}-{}-{}-{}-{}", session.substr(0, 8), session.substr(8, 4), session.substr(12, 4),
                       session.substr(16, 4), session.substr(20)));
  row.text(hex(id * 3) + hex(id * 5) + hex(id * 7));
}

ChangeBatchPtr make_batch(const RelationPtr& relation, std::uint64_t first, std::uint64_t rows, std::uint64_t per_txn) {
  MadeBatch batch(relation);
  for (std::uint64_t n = 0; n < rows; ++n) write_row(batch.next(), first + n);
  return batch.made(per_txn, [&](std::size_t n) {
    Transaction transaction;
    transaction.epoch = 1;
    transaction.commit_end = Lsn(1'000'000 + (first + n) * 1000);
    transaction.xid = Xid(static_cast<std::uint32_t>(1'000'000 + (first + n) / per_txn));
    transaction.seq = Seq(1000 + first + n);
    return transaction;
  });
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  clickhouse::ClickhouseSpec spec;
  spec.address = clickhouse::parse_url(options.url);
  spec.address.compression = options.compression;
  spec.style = options.events ? sinks::RowStyle::kEvents : sinks::RowStyle::kState;
  spec.table = {"{table}", formats::Escaping::kNone};
  spec.pipeline = "bench";
  sinks::RowSink sink({.pipeline = "bench", .source_id = "bench", .display = spec.address.display()},
                      std::make_unique<clickhouse::ClickhouseTarget>(spec));
  const RelationPtr relation = events();
  sink.open();
  // An empty table, as if it had been copied.
  Meter unmeasured;
  copy_made_rows(sink, relation, 0, unmeasured, write_row);
  Meter meter;
  for (std::uint64_t done = 0; done < options.rows; done += options.batch) {
    const ChangeBatchPtr batch =
        make_batch(relation, done + 1, std::min(options.batch, options.rows - done), options.txn);
    meter.begin();
    sink.apply(*batch);
    sink.flush();
    meter.end();
  }
  fmt::print(R"({{"rows_per_second": {:.0f}, "cpu_s_per_million": {:.3f}, "peak_mib": {}}})"
             "\n",
             static_cast<double>(options.rows) / meter.seconds, meter.cpu / (static_cast<double>(options.rows) / 1e6),
             peak_mib());
  return 0;
}
