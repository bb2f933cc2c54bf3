// How fast the journal takes messages in and gives them out, without PostgreSQL.
// journal_bench DIRECTORY [ROWS_PER_TRANSACTION] [MIB]: writes that much and reads it back, then the same as one
// streamed transaction.

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/bytes.h"
#include "journal/journal.h"
#include "model/tuple.h"

namespace {

using namespace tailrace;

RelationPtr events() {
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(16384);
  relation->schema = "public";
  relation->name = "events";
  for (int i = 0; i < 8; ++i)
    relation->columns.push_back({"c" + std::to_string(i), static_cast<std::int16_t>(i + 1), {}});
  return relation;
}

/// About 240 bytes, as pgoutput sends it.
std::string row() {
  std::string message = "I";
  ByteWriter(message).be32(16384);
  message += 'N';
  TupleWriter tuple(message, 8);
  for (int i = 0; i < 7; ++i) tuple.text("1234567890");
  tuple.text(std::string(120, 'x'));
  return message;
}

double seconds() { return std::chrono::duration<double>(SteadyClock::now().time_since_epoch()).count(); }
double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

struct Timer {
  double wall = seconds();
  double cpu = cpu_seconds();
  void report(const char* what, std::uint64_t rows, std::uint64_t transactions, std::uint64_t bytes) const {
    const double w = seconds() - wall;
    const double c = cpu_seconds() - cpu;
    std::printf("%-28s %8.0f MB/s %10.0f rows/s %10.0f transactions/s  cpu %6.3f us/row\n", what,
                static_cast<double>(bytes) / w / 1e6, static_cast<double>(rows) / w,
                static_cast<double>(transactions) / w, c * 1e6 / static_cast<double>(rows));
  }
};

long peak_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

/// One streamed transaction of that many rows: spilled, adopted, read in parts.
void giant(journal::Journal& log, const RelationPtr& relation, const std::string& message, std::uint64_t rows) {
  std::string described = "R";
  ByteWriter out(described);
  out.be32(relation->oid.value());
  out.c_string("public");
  out.c_string("events");
  out.u8('d');
  out.be16(0);
  const Timer spill_time;
  const auto spill = log.open_spill(Xid(2));
  spill->append(Xid(2), described);
  for (std::uint64_t i = 0; i < rows; ++i) spill->append(Xid(2), message);
  CommitRecord record;
  record.commit_lsn = log.end().commit_end;
  record.end_lsn = Lsn(record.commit_lsn.value() + 8);
  const Cursor before{log.end(), Seq(), PgTime()};
  log.adopt(*spill, record, [&](ByteView) { return relation; });
  log.sync();
  spill_time.report("spill, adopt, sync", rows, 1, rows * message.size());
  const Timer read_time;
  auto reader = log.reader(before);
  std::uint64_t seen = 0;
  while (const auto batch = reader->next({}, {}, std::chrono::milliseconds(0))) seen += batch->changes.size();
  if (seen != rows) std::abort();
  read_time.report("read it in parts", rows, 1, rows * message.size());
}

std::uint64_t read_all(journal::Journal& log) {
  auto reader = log.reader({});
  std::uint64_t rows = 0;
  while (const auto batch = reader->next({}, {}, std::chrono::milliseconds(0))) rows += batch->changes.size();
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const std::filesystem::path root(argv[1]);
  const std::uint64_t per_transaction = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10'000;
  const std::uint64_t total = (argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1024) << 20;
  std::filesystem::remove_all(root);
  journal::Options options;
  options.directory = root / "journal";
  options.spill_directory = root / "spill";
  auto log = journal::Journal::open(options);
  const RelationPtr relation = events();
  const std::string message = row();

  std::uint64_t rows = 0;
  std::uint64_t transactions = 0;
  std::uint64_t lsn = 0;
  const Timer write;
  while (rows * message.size() < total) {
    log->begin(Xid(1));
    log->relation(relation);
    for (std::uint64_t i = 0; i < per_transaction; ++i) log->append(message);
    CommitRecord record;
    record.commit_lsn = Lsn(lsn += 1000);
    record.end_lsn = Lsn(lsn + 8);
    log->commit(record);
    rows += per_transaction;
    ++transactions;
    if (log->unsynced_bytes() >= (1 << 20)) log->sync();
  }
  log->sync();
  write.report("append, commit, sync", rows, transactions, rows * message.size());

  const Timer disk;
  if (read_all(*log) != rows) return 1;
  disk.report("read from segments", rows, transactions, rows * message.size());
  giant(*log, relation, message, rows);
  std::printf("%-28s %8ld KiB\n", "most memory", peak_kib());
  log.reset();
  const Timer again;
  log = journal::Journal::open(options);
  std::printf("%-28s %8.3f s\n", "open", seconds() - again.wall);
  log.reset();
  std::filesystem::remove_all(root);
  return 0;
}
