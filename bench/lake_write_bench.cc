// Drives the lake with batches made in memory, without a source, a network and a log: what files cost.
//   lake_write_bench DIR [--rows N] [--batch ROWS] [--txn ROWS] [--copy] [--scattered] [--memory MIB] [--flush ROWS]
//                   [--format parquet|json|avro|csv]
// Rows are like `orders` of bench/load.sql; --scattered: their keys in no order. Prints one line: CPU seconds per
// million rows and rows per second of CPU, rows/s by the clock, bytes a row on disk, the process' largest size.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include "made_rows.h"
#include "sinks/lake/lake_target.h"
#include "sinks/row_sink.h"

namespace {

using namespace tailrace;

struct Options {
  std::filesystem::path directory;
  std::uint64_t rows = 4000000;
  std::uint64_t batch = 100000;
  std::uint64_t txn = 10000;
  std::uint64_t memory = 256;
  std::uint64_t flush_rows = 1000000;
  bool copy = false;
  bool scattered = false;
  lake::FileForm form = lake::file_form(lake::Format::kParquet, lake::Codec::kDefault);
};

lake::FileForm form_of(std::string_view name) {
  const lake::Format format = name == "json"   ? lake::Format::kJsonLines
                              : name == "avro" ? lake::Format::kAvro
                              : name == "csv"  ? lake::Format::kCsv
                                               : lake::Format::kParquet;
  return lake::file_form(format, lake::Codec::kDefault);
}

Options read_options(int argc, char** argv) {
  Options options;
  options.directory = argc > 1 ? argv[1] : ".";
  for (int n = 2; n < argc; ++n) {
    const std::string_view flag = argv[n];
    const auto value = [&] { return n + 1 < argc ? std::strtoull(argv[++n], nullptr, 10) : 0; };
    if (flag == "--rows") options.rows = value();
    if (flag == "--batch") options.batch = value();
    if (flag == "--txn") options.txn = value();
    if (flag == "--memory") options.memory = value();
    if (flag == "--flush") options.flush_rows = value();
    if (flag == "--copy") options.copy = true;
    if (flag == "--scattered") options.scattered = true;
    if (flag == "--format" && n + 1 < argc) options.form = form_of(argv[++n]);
  }
  return options;
}

RelationPtr orders() {
  const auto relation = made_table("orders");
  add_column(*relation, "id", 20);
  add_column(*relation, "customer_id", 20);
  add_column(*relation, "status", 25);
  add_column(*relation, "amount", 1700, numeric_typmod(12, 2));
  add_column(*relation, "updated_at", 1184);
  return relation;
}

void write_row(std::string& out, std::uint64_t id, std::uint64_t salt) {
  TupleWriter row(out, 5);
  row.text(fmt::format("{}", id));
  row.text(fmt::format("{}", salt % 200000));
  row.text(salt % 3 == 0 ? "pending" : salt % 3 == 1 ? "shipped" : "delivered");
  row.text(fmt::format("{}.{:02}", salt % 10000, id % 100));
  row.text(fmt::format("2026-03-{:02} {:02}:{:02}:{:02}.{:06}+00", 1 + id / 1000000 % 28, id / 100000 % 24,
                       id / 1000 % 60, id % 60, salt % 1000000));
}

class Load {
 public:
  Load(const Options& options, RelationPtr relation) : options_(options), relation_(std::move(relation)) {}

  ChangeBatchPtr make(std::uint64_t rows) {
    MadeBatch batch(relation_);
    for (std::uint64_t n = 0; n < rows; ++n) {
      const std::uint64_t id = options_.scattered ? random_() % 1000000000 : next_id_++;
      write_row(batch.next(), id, random_());
    }
    return batch.made(options_.txn, [this](std::size_t) { return next(); });
  }

 private:
  Transaction next() {
    lsn_ += 1000000;
    Transaction transaction;
    transaction.epoch = 1;
    transaction.commit_end = Lsn(lsn_);
    transaction.xid = Xid(1000000 + static_cast<std::uint32_t>(lsn_ / 1000000));
    transaction.monotone_time = transaction.commit_time = PgTime(static_cast<std::int64_t>(lsn_));
    transaction.seq = Seq(lsn_);
    return transaction;
  }

  const Options& options_;
  RelationPtr relation_;
  std::mt19937_64 random_{42};
  std::uint64_t next_id_ = 1;
  std::uint64_t lsn_ = 1000000;
};

void stream(sinks::RowSink& sink, const RelationPtr& relation, const Options& options, Meter& meter) {
  Load load(options, relation);
  std::uint64_t unflushed = 0;
  for (std::uint64_t done = 0; done < options.rows; done += options.batch) {
    const std::uint64_t rows = std::min(options.batch, options.rows - done);
    const ChangeBatchPtr batch = load.make(rows);
    unflushed += rows;
    const bool flush = unflushed >= options.flush_rows || done + rows >= options.rows;
    meter.begin();
    sink.apply(*batch);
    if (flush) sink.flush();
    meter.end();
    if (flush) unflushed = 0;
  }
}

std::uint64_t bytes_below(const std::filesystem::path& directory) {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory / "public"))
    if (entry.is_regular_file()) bytes += entry.file_size();
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  lake::LakeSpec spec;
  spec.directory = options.directory / "lake_write_bench";
  std::filesystem::remove_all(spec.directory);
  spec.pipeline = "bench";
  spec.memory = options.memory << 20;
  spec.form = options.form;
  const std::filesystem::path directory = spec.directory;
  sinks::RowSink sink({.pipeline = "bench", .source_id = "bench", .display = spec.display()},
                      std::make_unique<lake::LakeTarget>(spec));
  sink.open();
  const RelationPtr relation = orders();
  Meter before;
  Meter spent;
  std::mt19937_64 random(42);
  copy_made_rows(sink, relation, options.copy ? options.rows : 1, options.copy ? spent : before,
                 [&random](std::string& out, std::uint64_t id) { write_row(out, id, random()); });
  if (!options.copy) stream(sink, relation, options, spent);
  const double millions = static_cast<double>(options.rows) / 1e6;
  fmt::print(
      "{:.2f} CPU s/Mrow ({:.2f}M rows/s of CPU), {:.2f}M rows/s by the clock, {:.1f} bytes a row, peak {} MiB\n",
      spent.cpu / millions, millions / spent.cpu, millions / spent.seconds,
      static_cast<double>(bytes_below(directory)) / static_cast<double>(options.rows), peak_mib());
  sink.release();
  std::filesystem::remove_all(directory);
  return 0;
}
