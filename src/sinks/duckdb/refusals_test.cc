// What a target may not be: files and names that are refused before anything is written.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "sinks/duckdb/duckdb_sink.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

TEST(DuckdbSink, RefusesAFileWithAForeignTableOfTheSameName) {
  Target target;
  target.query("SELECT 1::VARCHAR");
  {
    Connection connection(Database::open(target.path(), {}));
    connection.run("CREATE SCHEMA public");
    connection.run("CREATE TABLE public.items(a INTEGER)");
  }
  EXPECT_THROW(target.sink().begin_copy({items()}), RefusedError);
}

TEST(DuckdbSink, RefusesNamesThatDuckdbCannotTellApart) {
  Target target;
  const auto upper = table("Items", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 20001);
  EXPECT_THROW(target.sink().begin_copy({items(), upper}), BadConfigError);
  EXPECT_THROW(target.sink().begin_copy({table("t", {{"a"}, {"A"}})}), BadConfigError);
  EXPECT_THROW(target.sink().begin_copy({table("t", {})}), BadConfigError);
  auto in_file = std::make_shared<Relation>(*items());
  in_file->schema = "target";  // the file is target.duckdb
  EXPECT_THROW(target.sink().begin_copy({in_file}), BadConfigError);
}

TEST(DuckdbSink, RefusesNamesThatAHistoryNeeds) {
  DuckdbSpec spec;
  spec.history = {"public.*"};
  Target target(spec);
  EXPECT_THROW(target.sink().begin_copy({table("t", {{"id", 20, -1, 1}, {"From_LSN"}})}), BadConfigError);
  const auto history = table("items__history", {{"id", 20, -1, 1}}, ReplicaIdentity::kDefault, 20001);
  EXPECT_THROW(target.sink().begin_copy({items(), history}), BadConfigError);
}

TEST(DuckdbSink, ALockedFileIsARetryThatNamesTheHolder) {
  Target target;
  target.close();
  const pid_t holder = ::fork();
  if (holder == 0) {
    const int file = ::open(target.path().c_str(), O_RDWR);
    struct flock lock{};
    lock.l_type = F_WRLCK;
    ::fcntl(file, F_SETLKW, &lock);
    ::pause();
    ::_exit(0);
  }
  bool refused = false;
  for (int n = 0; n < 200 && !refused; ++n) {
    try {
      DuckdbSink(target.spec()).open();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    } catch (const RetryError& error) {
      EXPECT_EQ(error.code(), "TR601");
      EXPECT_THAT(error.what(), ::testing::HasSubstr(std::to_string(holder)));
      refused = true;
    }
  }
  EXPECT_TRUE(refused);
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
}

TEST(DuckdbSink, AFileThatIsNoDatabaseIsRefused) {
  Target target;
  target.close();
  std::ofstream(target.path(), std::ios::trunc) << "this is a text, not a database, and it is long enough to be read";
  EXPECT_THROW(DuckdbSink(target.spec()).open(), RefusedError);
}

TEST(DuckdbSink, ADamagedBlockIsCorruption) {
  Target target;
  const auto t = items();
  std::vector<Row> rows;
  for (int n = 0; n < 3000; ++n) rows.push_back({std::to_string(n), "v" + std::to_string(n * 7919), "x"});
  target.copy({{t, rows}});
  target.close();
  {
    std::fstream file(target.path(), std::ios::in | std::ios::out | std::ios::binary);
    for (int header = 1; header < 3; ++header) {
      file.seekp(4096 * header + 20);
      file.write("damaged!", 8);
    }
  }
  EXPECT_THROW(DuckdbSink(target.spec()).open(), CorruptionError);
}

TEST(DuckdbSink, RefusesTheFileOfAnotherPipeline) {
  Target target;
  target.close();
  DuckdbSpec spec = target.spec();
  spec.pipeline = "another";
  EXPECT_THROW(DuckdbSink(spec).open(), RefusedError);
}

}  // namespace
}  // namespace tailrace::duckdb::test
