#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/memory_files_for_test.h"
#include "journal/messages_for_test.h"
#include "pgoutput/messages.h"

namespace tailrace::journal {
namespace {

using test::insert;
using test::MemoryFiles;
using test::table;

/// Random operations, power cuts and failing disks against a list of the units that were appended.
class RandomOperations {
 public:
  explicit RandomOperations(unsigned seed) : random_(seed) {
    options_.directory = "/journal";
    options_.spill_directory = "/spill";
    options_.segment_bytes = 2 << 20;
    options_.ring_bytes = 1 << 20;
    options_.spill_memory = 64 << 10;
    options_.remembered_commits = 20;
    options_.files = &files_;
    open();
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      try {
        step();
      } catch (const CorruptionError& error) {
        // A failed fsync: only what was durable may be there, and it must.
        ASSERT_TRUE(disk_fails_) << error.what();
        // While even the note of the failure cannot be written, only the loss of power makes the kernel forget.
        reopen(files_.fails_on || pick(2) == 0);
      } catch (const RetryError&) {
        ASSERT_TRUE(files_.no_space);
        files_.no_space = false;
      }
      if (testing::Test::HasFatalFailure()) return;
    }
    files_.fail_sync = files_.fail_write = 0;
    files_.no_space = false;
    reopen(false);
  }

 private:
  struct Unit {
    Position end;
    std::string text;
  };

  std::size_t pick(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }
  std::string value() {
    const std::size_t size = pick(40) == 0 ? 100 + pick(700'000) : pick(200);
    return std::string(size, static_cast<char>('a' + pick(26)));
  }
  std::uint32_t oid() { return 100 + static_cast<std::uint32_t>(pick(5)); }
  Lsn next_lsn() { return Lsn(log_->end().commit_end.value() + 8 + 8 * pick(100)); }
  static std::string short_form(std::uint32_t oid, ByteView v) {
    return std::to_string(oid) + ":" + std::to_string(v.size()) + std::string(v.substr(0, 1)) + ";";
  }

  void step() {
    switch (pick(24)) {
      case 0: reopen(true); return;
      case 1: reopen(false); return;
      case 2: trim(); return;
      case 3: follow(); return;
      case 4: progress(); return;
      case 5: message(); return;
      case 6:
      case 7: streamed(); return;
      case 8: check_everything(); return;
      case 9: abandon(); return;
      case 10:
        if (pick(4) == 0) files_.no_space = true;
        return;
      case 11:
        if (pick(4) == 0 && !disk_fails_) {
          disk_fails_ = true;
          files_.fails_on = pick(2) == 0;
          (pick(2) == 0 ? files_.fail_sync : files_.fail_write) = 1 + static_cast<int>(pick(3));
        }
        return;
      case 12:
      case 13:
      case 14: sync(); return;
      default: transaction(); return;
    }
  }

  void sync() {
    log_->sync();
    durable_ = units_.size();
  }

  CommitRecord record() {
    CommitRecord record;
    record.end_lsn = next_lsn();
    record.commit_lsn = Lsn(record.end_lsn.value() - 8);
    record.xid = Xid(static_cast<std::uint32_t>(pick(1 << 30)));
    record.commit_time = PgTime(static_cast<std::int64_t>(pick(1000)));
    return record;
  }

  std::string changes(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t table_oid = oid();
      const std::string v = value();
      log_->relation(table(table_oid, 1 + pick(2)));
      log_->append(insert(table_oid, v));
      text += short_form(table_oid, v);
    }
    return text;
  }
  void transaction() {
    log_->begin(Xid(1));
    const std::string text = changes(pick(30));
    units_.push_back({log_->commit(record()), text});
  }
  void abandon() {
    log_->begin(Xid(1));
    changes(pick(30));
  }
  void progress() {
    const Lsn to = next_lsn();
    log_->progress(to);
    units_.push_back({log_->end(), ""});
  }
  void message() {
    const Lsn end = next_lsn();
    units_.push_back({log_->message(end, test::logical_message(false, end.value() - 8, "p", "m")), "message;"});
  }
  void streamed() {
    auto spill = log_->open_spill(Xid(1));
    std::string text;
    const auto aborted = static_cast<std::uint32_t>(pick(4));
    const std::size_t count = pick(60);
    for (std::size_t i = 0; i < count; ++i) {
      const auto sub = static_cast<std::uint32_t>(pick(4));
      const std::uint32_t table_oid = oid();
      const std::string v = value();
      spill->append(Xid(sub), test::relation_message(table_oid, 1 + pick(2)));
      spill->append(Xid(sub), insert(table_oid, v));
      if (sub != aborted) text += short_form(table_oid, v);
    }
    spill->abort(Xid(aborted));
    const auto resolver = [](ByteView message) {
      const auto parsed = pgoutput::parse_relation(message);
      return table(parsed.oid.value(), parsed.columns.size());
    };
    if (pick(5) == 0) return;
    const CommitRecord commit = record();
    Position end;
    try {
      end = log_->adopt(*spill, commit, resolver);
    } catch (const RetryError&) {
      files_.no_space = false;
      end = log_->adopt(*spill, commit, resolver);
    }
    units_.push_back({end, text});
  }

  void open() {
    log_ = Journal::open(options_);
    reader_.reset();
  }

  void reopen(bool power_cut) {
    reader_.reset();
    log_.reset();
    files_.fail_sync = files_.fail_write = 0;
    files_.no_space = disk_fails_ = false;
    if (power_cut) files_.power_cut(random_);
    if (durable_ > 0) options_.known_durable = units_[durable_ - 1].end;
    open();
    const Position end = log_->end();
    std::size_t found = units_.size();
    while (found > 0 && units_[found - 1].end != end) --found;
    ASSERT_GE(found, durable_) << "durable units are gone";
    units_.resize(found);
    durable_ = found;
    given_ = std::min(given_, found);
    check_everything();
  }

  void trim() {
    if (durable_ == 0) return;
    log_->set_retention(units_[pick(durable_)].end, std::chrono::seconds(0));
  }

  /// Reads on with a reader that stays open, as a sink does.
  void follow() {
    if (!reader_) {
      std::optional<Cursor> from;
      const Cursor start = log_->start();
      given_ = first_behind(start.position);
      reader_ = log_->reader(from);
    }
    const std::size_t batches = pick(5);
    for (std::size_t i = 0; i < batches; ++i) {
      const BatchLimits limits{1 + pick(100), 1 + pick(200'000)};
      if (!take(*reader_, limits, given_)) return;
      if (testing::Test::HasFatalFailure()) return;
    }
    if (pick(3) == 0) {
      // As after a restart of the sink.
      Cursor cursor = log_->start();
      if (given_ > 0 && !open_part_) cursor.position = units_[given_ - 1].end;
      if (cursor.position < log_->start().position) cursor = log_->start();
      reader_ = log_->reader(cursor);
      given_ = first_behind(cursor.position);
      open_part_ = false;
      text_.clear();
    }
  }

  std::size_t first_behind(const Position& position) const {
    std::size_t at = 0;
    while (at < units_.size() && units_[at].end <= position) ++at;
    return at;
  }

  /// Takes one batch and compares; `given` units were given before.
  bool take(Reader& reader, const BatchLimits& limits, std::size_t& given) {
    ChangeBatchPtr batch;
    try {
      batch = reader.next(limits, {}, std::chrono::milliseconds(0));
    } catch (const CorruptionError& error) {
      // Trimmed under a reader that is slower than the retention says: a segment, or an adopted file.
      EXPECT_TRUE(error.code() == "TR405" || error.code() == "TR402") << error.what();
      EXPECT_EQ(&reader, reader_.get()) << error.what();
      reader_.reset();
      open_part_ = false;
      text_.clear();
      return false;
    }
    if (!batch) return false;
    std::size_t next_change = 0;
    for (std::size_t t = 0; t < batch->transactions.size(); ++t) {
      const Transaction& transaction = batch->transactions[t];
      while (given < units_.size() && units_[given].end.commit_end != transaction.commit_end) {
        EXPECT_EQ(units_[given].text, "") << "a unit was passed over";
        ++given;
      }
      if (transaction.first_part) text_.clear();
      for (; next_change < batch->changes.size() && batch->changes[next_change].transaction == t; ++next_change)
        text_ += show(batch->changes[next_change]);
      open_part_ = !transaction.last_part;
      if (open_part_) break;
      check_unit(given, transaction);
      if (testing::Test::HasFatalFailure()) return false;
      ++given;
    }
    if (!open_part_)
      while (given < units_.size() && units_[given].end <= batch->end.position) ++given;
    return true;
  }
  static std::string show(const Change& change) {
    if (change.kind == ChangeKind::kMessage) return "message;";
    return short_form(change.relation->oid.value(), change.new_row.begin().next().bytes);
  }
  void check_unit(std::size_t index, const Transaction& transaction) {
    ASSERT_LT(index, units_.size());
    ASSERT_EQ(units_[index].text, text_);
    ASSERT_EQ(units_[index].end, transaction.position(transaction.changes));
    text_.clear();
  }

  void check_everything() {
    const bool was_open = open_part_;
    const std::string text = std::exchange(text_, "");
    open_part_ = false;
    auto reader = log_->reader({});
    std::size_t given = first_behind(log_->start().position);
    while (take(*reader, {1 + pick(1000), 1 + pick(2'000'000)}, given))
      if (testing::Test::HasFatalFailure()) return;
    ASSERT_GE(given, durable_) << "not everything that is durable can be read";
    open_part_ = was_open;
    text_ = text;
  }

  std::mt19937 random_;
  MemoryFiles files_;
  Options options_;
  std::unique_ptr<Journal> log_;
  std::unique_ptr<Reader> reader_;
  std::vector<Unit> units_;
  /// How many of the units were durable at the last sync.
  std::size_t durable_ = 0;
  /// How many of the units reader_ has given.
  std::size_t given_ = 0;
  bool open_part_ = false;
  std::string text_;
  bool disk_fails_ = false;
};

class RandomOperationsTest : public testing::TestWithParam<unsigned> {};

TEST_P(RandomOperationsTest, NothingDurableIsLostOrChanged) { RandomOperations(GetParam()).run(300); }

/// More of them with TAILRACE_JOURNAL_SEEDS=n.
unsigned seeds() {
  const char* text = std::getenv("TAILRACE_JOURNAL_SEEDS");
  return text == nullptr ? 12 : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomOperationsTest, testing::Range(1U, seeds() + 1));

}  // namespace
}  // namespace tailrace::journal
