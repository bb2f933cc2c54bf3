#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>

#include "files_in_memory.h"
#include "journal/format.h"
#include "journal/frame.h"
#include "journal/journal.h"
#include "journal/messages_for_test.h"
#include "pgoutput/messages.h"

/// Writes journals as Tailrace does and packs them the way journal_fuzzer.cc reads them.
namespace tailrace::journal {
namespace {

CommitRecord commit_at(std::uint64_t end) {
  CommitRecord record;
  record.commit_lsn = Lsn(end - 8);
  record.end_lsn = Lsn(end);
  record.xid = Xid(static_cast<std::uint32_t>(end));
  record.commit_time = PgTime(static_cast<std::int64_t>(end));
  return record;
}

RelationPtr resolve(ByteView message) { return test::table(pgoutput::parse_relation(message).oid.value()); }

void transaction(Journal& journal, std::uint64_t end, std::size_t rows, std::size_t width) {
  journal.begin(Xid(static_cast<std::uint32_t>(end)));
  journal.relation(test::table(7));
  for (std::size_t i = 0; i < rows; ++i) journal.append(test::insert(7, std::string(width, 'v')));
  journal.commit(commit_at(end));
}

void streamed(Journal& journal, std::uint64_t end, std::size_t rows, std::size_t width) {
  const Xid xid(static_cast<std::uint32_t>(end));
  const auto spill = journal.open_spill(xid);
  spill->append(xid, test::relation_message(7));
  for (std::size_t i = 0; i < rows; ++i) spill->append(xid, test::insert(7, std::string(width, 's')));
  journal.adopt(*spill, commit_at(end), resolve);
}

void write_seed(const std::filesystem::path& path, const std::function<void(Journal&)>& fill) {
  FilesInMemory files;
  Options options;
  options.directory = "journal";
  options.spill_directory = "spill";
  options.segment_bytes = kMinSegment;
  options.spill_memory = 1 << 16;
  options.direct_io = false;
  options.files = &files;
  {
    const auto journal = Journal::open(options);
    fill(*journal);
    journal->sync();
  }
  std::string segment = files.content(std::filesystem::path("journal") / segment_name(1));
  segment.resize(segment.find_last_not_of('\0') + 1);
  const std::string frames = segment.substr(kFirstFrame);
  const std::filesystem::path adopted = std::filesystem::path("journal") / adopted_name(1, 1);
  const bool with_adopted = files.has(adopted);
  std::string seed(1, static_cast<char>(1 | (with_adopted ? 2 : 0)));
  seed += segment.substr(kFrameHeader, sizeof(SegmentRecord));
  ByteWriter(seed).le32(static_cast<std::uint32_t>(frames.size()));
  seed += frames;
  if (with_adopted) seed += files.content(adopted);
  std::ofstream(path, std::ios::binary) << seed;
}

}  // namespace
}  // namespace tailrace::journal

int main(int, char** arguments) {
  using namespace tailrace::journal;
  const std::filesystem::path into(arguments[1]);
  std::filesystem::create_directories(into);
  write_seed(into / "empty", [](Journal&) {});
  write_seed(into / "transactions", [](Journal& journal) {
    for (std::uint64_t end = 100; end < 500; end += 100) transaction(journal, end, end / 100, 20);
  });
  write_seed(into / "long_value", [](Journal& journal) { transaction(journal, 100, 1, 300'000); });
  write_seed(into / "message_and_progress", [](Journal& journal) {
    journal.message(tailrace::Lsn(50), test::logical_message(false, 50, "prefix", "content"));
    journal.progress(tailrace::Lsn(60));
    journal.raise_epoch(tailrace::Lsn(60));
    transaction(journal, 100, 2, 5);
  });
  write_seed(into / "abandoned", [](Journal& journal) {
    journal.begin(tailrace::Xid(1));
    journal.relation(test::table(7));
    journal.append(test::insert(7, "lost"));
    transaction(journal, 100, 1, 5);
  });
  write_seed(into / "adopted_small", [](Journal& journal) { streamed(journal, 100, 3, 10); });
  write_seed(into / "adopted_file", [](Journal& journal) {
    streamed(journal, 100, 300, 500);
    transaction(journal, 200, 1, 5);
  });
  return 0;
}
