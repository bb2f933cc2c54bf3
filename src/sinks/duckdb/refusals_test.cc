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

std::shared_ptr<const rules::RowRules> rule_of_v(const char* value) {
  return std::make_shared<const rules::RowRules>(
      std::vector<rules::TableRules>{{.tables = "items", .choices = {{.column = "v", .values = {value}}}}}, nullptr);
}

TEST(DuckdbSink, RowsThatBreakARuleAreLettersInCopyAndStream) {
  DuckdbSpec spec;
  spec.rules = rule_of_v("a");
  Target target(spec);
  target.copy({{items(), {{"1", "a", "x"}, {"2", "wrong", "x"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin()
      .insert(items(), {"3", "wrong", "x"})
      .insert(items(), {"4", "a", "x"})
      .update(items(), {"1", "wrong", "y"})
      .remove(items(), {"4", {}, {}});
  target.sink().apply(batch.done());
  const auto letters = target.sink().take_dead_letters();
  target.sink().flush();
  ASSERT_EQ(letters.size(), 3U);
  for (const auto& letter : letters) EXPECT_EQ(letter.reason, "validation: `in` of `v`");
  const sinks::Counters counts{4, 2, 0, 2, 0};
  EXPECT_EQ(target.sink().counters(), counts);
  target.close();
  EXPECT_EQ(target.rows("public.items"), (std::vector<std::string>{"1|a|x"}));
}

TEST(DuckdbSink, RowsOfATableWithoutKeyThatBreakARuleComeAndGoAsLetters) {
  DuckdbSpec spec;
  spec.rules = rule_of_v("a");
  Target target(spec);
  const auto keyless = table("items", {{"v"}}, ReplicaIdentity::kFull);
  target.copy({{keyless, {{"a"}}}});
  Clock clock;
  Batch batch(clock);
  batch.begin().insert(keyless, {"wrong"}).insert(keyless, {"a"}).remove_full(keyless, {"wrong"});
  target.sink().apply(batch.done());
  EXPECT_EQ(target.sink().take_dead_letters().size(), 2U);
  target.sink().flush();
  target.close();
  EXPECT_EQ(target.rows("public.items"), (std::vector<std::string>{"a", "a"}));
}

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
