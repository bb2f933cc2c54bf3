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

#include "base/time.h"
#include "model/change_batch.h"
#include "process_cost.h"
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
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(16384);
  relation->schema = "public";
  relation->name = "events";
  relation->primary_key_immediate = true;
  const auto add = [&](const char* name, std::uint32_t type, std::int32_t typmod = -1, bool may_be_null = false) {
    Column column;
    column.name = name;
    column.attnum = static_cast<std::int16_t>(relation->columns.size() + 1);
    column.type.declared = column.type.base = Oid(type);
    column.type.base_typmod = typmod;
    column.not_null = !may_be_null;
    column.primary_key_place = relation->columns.empty() ? 1 : 0;
    column.in_identity = relation->columns.empty();
    relation->columns.push_back(column);
  };
  add("id", 20);
  add("tenant", 23);
  add("kind", 25);
  add("created_at", 1184);
  add("amount", 1700, ((12 << 16) | 2) + 4, true);
  add("session", 2950);
  add("payload", 25);
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
  auto batch = std::make_shared<ChangeBatch>();
  auto bytes = std::make_shared<std::string>();
  std::vector<std::size_t> ends;
  for (std::uint64_t n = 0; n < rows; ++n) {
    write_row(*bytes, first + n);
    ends.push_back(bytes->size());
  }
  for (std::uint64_t n = 0; n < rows; ++n) {
    if (n % per_txn == 0) {
      Transaction transaction;
      transaction.epoch = 1;
      transaction.commit_end = Lsn(1'000'000 + (first + n) * 1000);
      transaction.xid = Xid(static_cast<std::uint32_t>(1'000'000 + (first + n) / per_txn));
      transaction.seq = Seq(1000 + first + n);
      batch->transactions.push_back(transaction);
    }
    Change change;
    change.kind = ChangeKind::kInsert;
    change.transaction = static_cast<std::uint32_t>(batch->transactions.size() - 1);
    change.ordinal = n % per_txn;
    change.relation = relation.get();
    const std::size_t at = n == 0 ? 0 : ends[n - 1];
    change.new_row = TupleView(std::string_view(*bytes).substr(at, ends[n] - at));
    batch->changes.push_back(change);
  }
  batch->end.position = {1, batch->transactions.back().commit_end, per_txn};
  batch->end.seq = batch->transactions.back().seq;
  batch->bytes = bytes->size();
  batch->relations.push_back(relation);
  batch->buffers.push_back(std::move(bytes));
  return batch;
}

/// Time and processor time, of many pieces together.
class Meter {
 public:
  void begin() {
    began_ = SteadyClock::now();
    cpu_before_ = cpu_seconds();
  }
  void end() {
    seconds += std::chrono::duration<double>(SteadyClock::now() - began_).count();
    cpu += cpu_seconds() - cpu_before_;
  }
  double seconds = 0;
  double cpu = 0;

 private:
  SteadyClock::time_point began_;
  double cpu_before_ = 0;
};

/// An empty table, as if it had been copied.
void begin(sinks::RowSink& sink, const RelationPtr& relation) {
  sink.open();
  sink.begin_copy({relation});
  sink.open_copy(relation)->finish();
  CopiedTable done;
  done.relation = relation;
  done.fence.snapshot = *SnapshotXids::parse("10:10:");
  done.fence.end = Lsn(1000);
  sink.finish_copy(done);
  Cursor start;
  start.position = {1, Lsn(1000), 0};
  sink.finish_copies(start);
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
  begin(sink, relation);
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
