#include "sinks/duckdb/query.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

class DuckdbQueryTest : public ::testing::Test {
 protected:
  DuckdbQueryTest() : target_(with_history()) {
    target_.copy({{items_, {{"1", "a", "x"}, {"2", "b,c", std::nullopt}}}});
    Clock clock;
    Batch batch(clock);
    batch.begin().update(items_, {"1", "A", "x"});
    batch.begin().remove(items_, {"2", std::nullopt, std::nullopt}).insert(items_, {"3", "c", "z"});
    target_.apply(batch);
  }
  static DuckdbSpec with_history() {
    DuckdbSpec spec;
    spec.history = {"public.*"};
    return spec;
  }
  std::string ask(const std::string& sql, QueryFormat format = QueryFormat::kCsv, std::optional<AsOf> as_of = {}) {
    std::string out;
    DuckdbQuery(target_.path()).run({sql, format, as_of}, [&](std::string_view piece) { out += piece; });
    return out;
  }

  RelationPtr items_ = items();
  Target target_;
};

TEST_F(DuckdbQueryTest, AnswersInEveryFormatWhileTheSinkIsOpen) {
  const std::string sql = "SELECT id, v, NULL AS n FROM items ORDER BY id;";
  EXPECT_EQ(ask(sql), "id,v,n\n1,A,\n3,c,\n");
  EXPECT_EQ(ask(sql, QueryFormat::kJsonLines),
            "{\"id\":1,\"v\":\"A\",\"n\":null}\n{\"id\":3,\"v\":\"c\",\"n\":null}\n");
  EXPECT_EQ(ask("SELECT 1 AS a", QueryFormat::kJson), "[\n{\"a\":1}\n]\n");
  EXPECT_EQ(ask(sql, QueryFormat::kTable), "id  v  n\n--  -  ----\n1   A  NULL\n3   c  NULL\n(2 rows)\n");
  EXPECT_EQ(ask(sql, QueryFormat::kParquet).substr(0, 4), "PAR1");
}

TEST_F(DuckdbQueryTest, LooksAtThePastByTimeAndByLsn) {
  const std::string sql = "SELECT id, v FROM public.items ORDER BY id";
  EXPECT_EQ(ask(sql, QueryFormat::kCsv, AsOf{{}, Lsn(1000)}), "id,v\n1,a\n2,\"b,c\"\n");
  EXPECT_EQ(ask(sql, QueryFormat::kCsv, AsOf{{}, Lsn(1100)}), "id,v\n1,A\n2,\"b,c\"\n");
  EXPECT_EQ(ask(sql, QueryFormat::kCsv, AsOf{Batch::at(1200), {}}), "id,v\n1,A\n3,c\n");
  EXPECT_EQ(ask(sql, QueryFormat::kCsv, AsOf{Batch::at(999), {}}), "id,v\n");
  EXPECT_EQ(ask("SELECT id, v FROM public.items__as_of('2000-01-01 00:18:20+00') ORDER BY id"),
            "id,v\n1,A\n2,\"b,c\"\n");
}

TEST_F(DuckdbQueryTest, RefusesWhateverChangesSomething) {
  for (const char* sql : {"DELETE FROM public.items", "DROP TABLE public.items", "SELECT 1; SELECT 2", "",
                          "INSERT INTO public.items VALUES (9, '', '')", "EXPLAIN ANALYZE DELETE FROM public.items",
                          "CHECKPOINT", "ATTACH 'x.duckdb'", "SET threads = 1", "COPY public.items TO 'x.csv'"})
    EXPECT_THROW(ask(sql), BadConfigError) << sql;
  EXPECT_EQ(ask("SELECT count(*) AS n FROM public.items"), "n\n2\n");
  EXPECT_THROW(ask("SELECT nonsense FROM public.items"), BadConfigError);
}

TEST_F(DuckdbQueryTest, ReadsAFileThatNobodyHolds) {
  target_.close();
  EXPECT_EQ(ask("SELECT count(*) AS n FROM items"), "n\n2\n");
  EXPECT_EQ(ask("SELECT v FROM items WHERE id = 1", QueryFormat::kCsv, AsOf{{}, Lsn(1000)}), "v\na\n");
  EXPECT_THROW(DuckdbQuery(target_.path().string() + ".missing"), RefusedError);
}

TEST_F(DuckdbQueryTest, CanBeInterrupted) {
  DuckdbQuery query(target_.path());
  std::jthread other([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      query.interrupt();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  EXPECT_THROW(query.run({"SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b", {}, {}},
                         [](std::string_view) {}),
               RetryError);
}

TEST_F(DuckdbQueryTest, ASlowReaderDoesNotStopTheWriter) {
  Connection reader(Database::open(target_.path(), {}));
  reader.run("BEGIN TRANSACTION READ ONLY");
  EXPECT_EQ(reader.rows("SELECT count(*)::VARCHAR FROM public.items").front().front().second, "2");
  Clock clock{1200, 1200};
  for (int n = 10; n < 15; ++n) {
    Batch batch(clock);
    batch.begin().insert(items_, {std::to_string(n), "n", "n"}).update(items_, {"1", std::to_string(n), kUnchanged});
    target_.apply(batch);
    target_.sink().maintain();
  }
  EXPECT_EQ(reader.rows("SELECT count(*)::VARCHAR FROM public.items").front().front().second, "2");
  reader.run("COMMIT");
  EXPECT_EQ(target_.rows("public.items").size(), 7u);
}

}  // namespace
}  // namespace tailrace::duckdb::test
