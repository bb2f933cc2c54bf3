// Files that break: flipped bytes and missing ends, met when the target is opened or while it is used.

#include "sinks/duckdb/damage.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <sstream>

#include "base/error.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kRows = 3000;

std::string content_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

/// A target with rows in its file, checkpointed, and more of them in its log; `file` and `log` are its bytes.
class Damage : public ::testing::Test {
 protected:
  Damage() {
    std::vector<Row> rows;
    for (int n = 0; n < kRows; ++n) rows.push_back({std::to_string(n), "v" + std::to_string(n * 7919), "x"});
    target_.copy({{items(), rows}});
    target_.close();
    target_.query("SELECT 1::VARCHAR");  // closing checkpoints
    target_.open();
    before_ = target_.rows("public.items");
    Batch batch(clock_);
    batch.begin().update(items(), {"1", "changed", "x"}).insert(items(), {"90000", "new", "y"});
    target_.apply(batch);
    at_ = target_.sink().flush();
    file_ = content_of(target_.path());
    log_ = content_of(log_path());
    truth_ = target_.rows("public.items");
    target_.close();
  }
  std::filesystem::path log_path() const { return target_.path().string() + ".wal"; }
  void put(const std::string& file, const std::string& log) {
    target_.close();
    std::filesystem::remove_all(target_.path().string() + ".tmp");
    write_file(target_.path(), file);
    write_file(log_path(), log);
  }
  DuckdbSpec known() const {
    DuckdbSpec spec = target_.spec();
    spec.known = true;
    return spec;
  }

  /// What the target is good for: damaged, or the exact rows at its cursor, which may be an earlier one.
  std::string try_out() {
    DuckdbSink sink(known());
    for (int n = 0; n < 4; ++n) {
      try {
        const sinks::SinkState state = sink.open();
        if (!state.cursor) return "no cursor";
        Clock clock{2000, 2000};
        Batch batch(clock);
        batch.begin().update(items(), {"2", "again", "x"});
        sink.apply(batch.done());
        sink.flush();
        auto expected = *state.cursor == at_ ? truth_ : before_;
        std::ranges::replace(expected, "2|v15838|x", "2|again|x");
        return target_.rows("public.items") == expected ? "good" : "bent";
      } catch (const sinks::DamagedTarget&) {
        return "damaged";
      } catch (const RetryError&) {
        continue;
      }
    }
    return "never ends";
  }

  Target target_;
  Clock clock_;
  Cursor at_;
  std::string file_;
  std::string log_;
  std::vector<std::string> before_;
  std::vector<std::string> truth_;
};

TEST_F(Damage, AFlippedByteIsFoundOrHurtsNothing) {
  std::mt19937 random(7);
  std::map<std::string, int> outcomes;
  for (int n = 0; n < 60; ++n) {
    std::string file = file_;
    std::string log = log_;
    std::string& hurt = n % 3 == 0 ? log : file;
    // The first blocks have the headers and what leads to everything else.
    const std::size_t within = n % 3 == 1 ? std::min<std::size_t>(hurt.size(), 12288) : hurt.size();
    const std::size_t at = random() % within;
    hurt[at] = static_cast<char>(hurt[at] ^ (1 << random() % 8));
    put(file, log);
    const std::string outcome = try_out();
    EXPECT_TRUE(outcome == "good" || outcome == "damaged")
        << outcome << ": byte " << at << " of " << (n % 3 == 0 ? "the log" : "the file");
    ++outcomes[outcome];
  }
  EXPECT_GT(outcomes["damaged"], 10);
}

TEST_F(Damage, AMissingEndIsFound) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{100}, std::size_t{4096}, std::size_t{9000},
                                 std::size_t{12288}, file_.size() / 2, file_.size() - 5000}) {
    put(file_.substr(0, size), log_);
    EXPECT_EQ(try_out(), "damaged") << size << " of " << file_.size();
  }
}

TEST_F(Damage, AFileThatWasNeverOursIsNoDamage) {
  put("this is a text, not a database, and it is long enough to be read as one", "");
  EXPECT_THROW(DuckdbSink(target_.spec()).open(), RefusedError);
  EXPECT_THROW(DuckdbSink(known()).open(), sinks::DamagedTarget);
}

TEST_F(Damage, ABlockThatBreaksWhileTheTargetIsInUseIsFound) {
  put(file_, log_);
  DuckdbSink sink(known());
  sink.open();
  {
    std::fstream file(target_.path(), std::ios::in | std::ios::out | std::ios::binary);
    for (std::size_t at = 12288 + 100; at + 8 < file_.size(); at += 1000) {
      file.seekp(static_cast<std::streamoff>(at));
      file.write("damaged!", 8);
    }
  }
  Clock clock{2000, 2000};
  Batch batch(clock);
  batch.begin().update(items(), {"2", "again", kUnchanged});
  EXPECT_THROW(sink.apply(batch.done()), sinks::DamagedTarget);
}

TEST_F(Damage, ACursorThatDoesNotAddUpIsFound) {
  for (const char* sql : {"INSERT INTO tailrace.cursor FROM tailrace.cursor", "UPDATE tailrace.cursor SET applied = 7",
                          "DELETE FROM tailrace.meta"}) {
    put(file_, log_);
    target_.query(sql);
    EXPECT_EQ(try_out(), "damaged") << sql;
  }
}

TEST_F(Damage, TheDamagedFileIsKeptWholeUnderATellingNameAndTheNextOneBeginsAnew) {
  std::string broken = file_;
  for (std::size_t at = 4096; at < 12288; at += 100) broken[at] ^= 0x55;
  for (int round = 1; round <= 2; ++round) {
    put(broken, log_);
    DuckdbSink sink(known());
    EXPECT_THROW(sink.open(), sinks::DamagedTarget);
    const std::string kept = sink.set_aside().kept;
    EXPECT_THAT(kept, HasSubstr("target.duckdb.damaged-"));
    EXPECT_EQ(content_of(kept), broken);
    EXPECT_EQ(content_of(kept + ".wal"), log_);
    EXPECT_FALSE(std::filesystem::exists(target_.path()));
    EXPECT_FALSE(std::filesystem::exists(log_path()));
    const sinks::SinkState state = sink.open();
    EXPECT_FALSE(state.cursor);
    EXPECT_THAT(state.copied, IsEmpty());
  }
}

TEST_F(Damage, AHistoryIsNotThrownAwayForANewCopy) {
  DuckdbSpec spec = known();
  spec.history = {"*.*"};
  put(file_.substr(0, 9000), log_);
  DuckdbSink sink(spec);
  EXPECT_THROW(sink.open(), sinks::DamagedTarget);
  EXPECT_THROW(sink.set_aside(), CorruptionError);
  EXPECT_EQ(content_of(target_.path()), file_.substr(0, 9000));
}

TEST_F(Damage, AFileThatAQueryReadsIsLeftUntilItIsDone) {
  put(file_, log_);
  DuckdbSink sink(known());
  {
    const auto reading = Database::open(target_.path(), {});
    EXPECT_THROW(sink.set_aside(), RetryError);
  }
  EXPECT_FALSE(sink.set_aside().kept.empty());
}

// DuckDB gives a database up whose checkpoint failed half-way; the file is as it was.
TEST_F(Damage, AnAbandonedCheckpointHurtsNothing) {
  for (const char* at : {"before_truncate", "before_header", "after_free_list_write"}) {
    put(file_, log_);
    {
      Connection connection(Database::open(target_.path(), {}));
      connection.run(std::string("SET debug_checkpoint_abort = '") + at + "'");
      EXPECT_THROW(connection.run("CHECKPOINT"), Error);
    }
    EXPECT_EQ(try_out(), "good") << at;
  }
}

TEST(FaultCount, TheThirdWithinTenMinutesIsTooMany) {
  FaultCount faults;
  const auto begin = SteadyClock::now();
  EXPECT_FALSE(faults.too_many(begin));
  EXPECT_FALSE(faults.too_many(begin + std::chrono::minutes(9)));
  EXPECT_FALSE(faults.too_many(begin + std::chrono::minutes(11)));
  EXPECT_TRUE(faults.too_many(begin + std::chrono::minutes(12)));
  const auto fail = [] { throw InternalFault("TR606", "inside", ""); };
  FaultCount watched;
  EXPECT_THROW(watched.watch(fail), InternalFault);
  EXPECT_THROW(watched.watch(fail), InternalFault);
  EXPECT_THROW(watched.watch(fail), sinks::DamagedTarget);
}

}  // namespace
}  // namespace tailrace::duckdb::test
