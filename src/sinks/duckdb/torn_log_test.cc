#include "sinks/duckdb/torn_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "duckdb.h"
#include "sinks/duckdb/handle.h"

namespace tailrace::duckdb {
namespace {

constexpr char kUseTable = 25;
constexpr char kInsert = 26;
constexpr char kRowGroups = 29;
constexpr char kCheckpoint = 99;
constexpr char kCommit = 100;

// As DuckDB 1.5.6 begins a log: field 100 is 98, field 101 is 2, end of the object.
const std::string kVersion("\x64\x00\x62\x65\x00\x02\xff\xff", 8);

std::string entry(char type, std::size_t padding = 0) {
  std::string content("\x64\x00", 2);
  content += type;
  content += std::string(padding, 'x') + "\xff\xff";
  const std::uint64_t size = content.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + "checksum" + content;
}

class TornLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "torn_log_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    std::ofstream(database()) << "database";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path database() const { return directory_ / "target.duckdb"; }
  std::filesystem::path log() const { return directory_ / "target.duckdb.wal"; }
  void write(const std::string& bytes) { std::ofstream(log(), std::ios::binary) << bytes; }
  std::string content() const {
    std::ifstream in(log(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::filesystem::path directory_;
};

const std::string kWhole = kVersion + entry(kUseTable) + entry(kInsert, 100) + entry(kCommit);

TEST_F(TornLogTest, CutsAnUnfinishedTransactionThatNamesRowGroups) {
  const std::string tail = entry(kUseTable) + entry(kRowGroups, 40) + entry(kInsert, 7);
  write(kWhole + tail);
  EXPECT_EQ(cut_torn_log(database()), tail.size());
  EXPECT_EQ(content(), kWhole);
}

TEST_F(TornLogTest, CutsAlsoBehindAnEntryTornInTheMiddle) {
  const std::string tail = entry(kRowGroups, 40) + entry(kInsert, 70).substr(0, 50);
  write(kWhole + tail);
  EXPECT_EQ(cut_torn_log(database()), tail.size());
  EXPECT_EQ(content(), kWhole);
}

TEST_F(TornLogTest, CutsTheOnlyTransactionOfALog) {
  write(kVersion + entry(kUseTable) + entry(kRowGroups));
  EXPECT_GT(cut_torn_log(database()), 0U);
  EXPECT_EQ(content(), kVersion);
}

TEST_F(TornLogTest, LeavesACommittedTransactionWithRowGroups) {
  const std::string whole = kWhole + entry(kUseTable) + entry(kRowGroups) + entry(kCommit);
  write(whole);
  EXPECT_EQ(cut_torn_log(database()), 0U);
  EXPECT_EQ(content(), whole);
}

TEST_F(TornLogTest, LeavesTornEndsThatDuckDbReplaysRight) {
  for (const std::string& tail : {entry(kInsert, 20), entry(kRowGroups, 40).substr(0, 30), std::string("abc")}) {
    write(kWhole + tail);
    EXPECT_EQ(cut_torn_log(database()), 0U);
    EXPECT_EQ(content(), kWhole + tail);
  }
}

TEST_F(TornLogTest, LeavesTheMarkOfACheckpointUnderWay) {
  write(kWhole + entry(kCheckpoint, 9));
  EXPECT_EQ(cut_torn_log(database()), 0U);
}

TEST_F(TornLogTest, LeavesLogsOfAnotherForm) {
  const std::string encrypted("\x64\x00\x62\x65\x00\x03\xff\xff", 8);
  write(encrypted + entry(kRowGroups));
  EXPECT_EQ(cut_torn_log(database()), 0U);
  write("");
  EXPECT_EQ(cut_torn_log(database()), 0U);
}

TEST_F(TornLogTest, DoesNothingWithoutALogOrADatabase) {
  EXPECT_EQ(cut_torn_log(database()), 0U);
  std::filesystem::remove(database());
  EXPECT_EQ(cut_torn_log(database()), 0U);
  EXPECT_FALSE(std::filesystem::exists(database()));
}

TEST_F(TornLogTest, DoesNothingWhileAnotherProcessHoldsTheFile) {
  const std::string torn = kWhole + entry(kRowGroups);
  write(torn);
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t holder = ::fork();
  ASSERT_GE(holder, 0);
  if (holder == 0) {
    const int fd = ::open(database().c_str(), O_RDWR);
    struct flock whole{};
    whole.l_type = F_WRLCK;
    const char answer = ::fcntl(fd, F_SETLK, &whole) == 0 ? 'y' : 'n';
    if (::write(ready[1], &answer, 1) == 1) ::pause();
    std::_Exit(1);
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  EXPECT_EQ(cut_torn_log(database()), 0U);
  EXPECT_EQ(content(), torn);
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
}

// Rows of a real transaction that never committed, because its log lacks the last entry.
class RealTornLogTest : public TornLogTest {
 protected:
  std::int64_t rows_after_reopening() {
    duckdb_database file = nullptr;
    duckdb_connection connection = nullptr;
    duckdb_result result{};
    std::int64_t rows = -1;
    if (::duckdb_open(database().c_str(), &file) == DuckDBSuccess &&
        ::duckdb_connect(file, &connection) == DuckDBSuccess &&
        ::duckdb_query(connection, "SELECT count(*) FROM t", &result) == DuckDBSuccess) {
      rows = ::duckdb_value_int64(&result, 0, 0);
    }
    ::duckdb_destroy_result(&result);
    ::duckdb_disconnect(&connection);
    ::duckdb_close(&file);
    return rows;
  }

  void leave_torn_log() {
    std::filesystem::remove(database());
    const pid_t writer = ::fork();
    ASSERT_GE(writer, 0);
    if (writer == 0) write_and_die();
    int status = 0;
    ASSERT_EQ(::waitpid(writer, &status, 0), writer);
    ASSERT_EQ(status, 0);
    const std::size_t commit = entry(kCommit).size();
    std::filesystem::resize_file(log(), std::filesystem::file_size(log()) - commit);
  }

 private:
  [[noreturn]] void write_and_die() {
    duckdb_database file = nullptr;
    duckdb_connection connection = nullptr;
    bool good = ::duckdb_open(database().c_str(), &file) == DuckDBSuccess &&
                ::duckdb_connect(file, &connection) == DuckDBSuccess;
    for (const char* sql : {"SET checkpoint_threshold = '1TB'", "CREATE TABLE t (id BIGINT)", "CHECKPOINT",
                            "INSERT INTO t VALUES (1)", "INSERT INTO t SELECT range FROM range(200000)"}) {
      good = good && ::duckdb_query(connection, sql, nullptr) == DuckDBSuccess;
    }
    ::_exit(good ? 0 : 1);
  }
};

TEST_F(RealTornLogTest, CutLeavesWhatWasCommittedAndNoMore) {
  leave_torn_log();
  EXPECT_GT(cut_torn_log(database()), 0U);
  EXPECT_EQ(rows_after_reopening(), 1);
}

TEST_F(RealTornLogTest, ATargetIsOpenedWithoutWhatWasNeverCommitted) {
  for (const bool read_only : {false, true}) {
    leave_torn_log();
    Connection connection(Database::share_or_read(database(), {64ULL << 20, 1, read_only}));
    EXPECT_EQ(connection.rows("SELECT count(*)::VARCHAR FROM t").front().front().second, "1");
  }
}

// When this fails, DuckDB replays such logs right, and the cut may go.
TEST_F(RealTornLogTest, DuckDbAloneShowsRowsThatWereNeverCommitted) {
  leave_torn_log();
  EXPECT_EQ(rows_after_reopening(), 200001);
}

}  // namespace
}  // namespace tailrace::duckdb
