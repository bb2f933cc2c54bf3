#include "sinks/duckdb/state_format.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "sinks/duckdb/table.h"
#include "sinks/duckdb/test_target.h"

namespace tailrace::duckdb::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The schema `tailrace` as the first version made it.
constexpr const char* kFirstForm[] = {
    "CREATE SCHEMA tailrace",
    "CREATE TABLE tailrace.meta(format UBIGINT, pipeline VARCHAR, source_id VARCHAR, created_at TIMESTAMPTZ)",
    "CREATE TABLE tailrace.cursor(pipeline VARCHAR, source_id VARCHAR, epoch UINTEGER, commit_lsn UBIGINT, "
    "ordinal UBIGINT, seq UBIGINT, commit_time TIMESTAMPTZ, applied_at TIMESTAMPTZ, topic VARCHAR, "
    "partition INTEGER, next_offset BIGINT, received UBIGINT, applied UBIGINT, filtered UBIGINT, "
    "dead_lettered UBIGINT, held UBIGINT)",
    "CREATE TABLE tailrace.tables(schema_name VARCHAR, table_name VARCHAR, oid UINTEGER, state VARCHAR, "
    "relation BLOB, snapshot VARCHAR, fence_lsn UBIGINT, copied_rows UBIGINT)",
    "CREATE TABLE tailrace.lanes(schema_name VARCHAR, table_name VARCHAR, state VARCHAR, epoch UINTEGER, "
    "commit_lsn UBIGINT, ordinal UBIGINT, code VARCHAR, reason VARCHAR, since TIMESTAMPTZ)",
    "CREATE TABLE tailrace.letters(schema_name VARCHAR, table_name VARCHAR, key BLOB)",
    "CREATE TABLE tailrace.incomplete(schema_name VARCHAR, table_name VARCHAR, key BLOB, epoch UINTEGER, "
    "commit_lsn UBIGINT, ordinal UBIGINT)",
    "CREATE TABLE tailrace.baselines(schema_name VARCHAR, table_name VARCHAR, effective_from TIMESTAMPTZ, "
    "from_lsn UBIGINT, versions UBIGINT)",
    "INSERT INTO tailrace.meta VALUES (1, 'test', 'source', now())",
    "INSERT INTO tailrace.cursor VALUES ('test', 'source', 1, 1500, 3, 1503, now(), now(), NULL, NULL, NULL, 9, 8, 1, "
    "0, 0)",
    "INSERT INTO tailrace.incomplete VALUES ('public', 'items', '2'::BLOB, 1, 1400, 0)",
    "INSERT INTO tailrace.baselines VALUES ('public', 'items', now(), 1000, 1)",
    "CREATE SCHEMA public",
    "CREATE TABLE public.items(id BIGINT, v VARCHAR, big VARCHAR)",
    "INSERT INTO public.items VALUES (1, 'a', 'x')",
};

/// A target whose file is in the first form: one table with one row, and one row that lacks a value.
class FirstForm {
 public:
  FirstForm() {
    target.close();
    std::filesystem::remove(target.path());
    std::filesystem::remove(target.path().string() + ".wal");
    Connection connection(Database::open(target.path(), {}));
    for (const char* sql : kFirstForm) connection.run(sql);
    Statement(connection,
              "INSERT INTO tailrace.tables VALUES ('public', 'items', 16384, 'copied', ?, '10:10:', 1000, 1)")
        .bind_blob(encode_relation(*items()))
        .run();
  }
  Target target;
};

TEST(StateFormat, ATargetOfTheFirstFormIsBroughtUpToDateAndGoesOn) {
  FirstForm first;
  Target& target = first.target;
  target.open();
  EXPECT_THAT(target.query("SELECT format::VARCHAR FROM tailrace.meta"), ElementsAre(std::to_string(kStateFormat)));
  ASSERT_TRUE(target.state().cursor);
  EXPECT_EQ(target.state().cursor->position, (Position{1, Lsn(1500), 3}));
  EXPECT_EQ(target.state().counters.received, 9u);
  EXPECT_EQ(target.sink().incomplete_rows(), 1u);
  Clock clock{1600, 1600};
  Batch batch(clock);
  batch.begin().update(items(), {"1", "b", kUnchanged}).insert(items(), {"3", "c", kUnchanged});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|b|x"));
  EXPECT_EQ(target.sink().incomplete_rows(), 2u);
}

// No id of the transaction was kept that touched the row last, so no read can prove to contain it.
TEST(StateFormat, ARowThatTheFirstFormNotedWaitsForItsNextChange) {
  FirstForm first;
  Target& target = first.target;
  target.open();
  FencedRows read;
  read.fence.snapshot = *SnapshotXids::parse("900:900:");
  read.fence.end = Lsn(5000);
  read.rows = {items(), tuple_bytes({"2", "b", "BIG"}), 1};
  EXPECT_EQ(target.sink().complete(read), 0u);
  target.sink().flush();
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x"));
  Clock clock{1600, 1600};
  Batch batch(clock);
  batch.begin().update(items(), {"2", "b2", "BIG2"});
  target.apply(batch);
  EXPECT_THAT(target.rows("public.items"), ElementsAre("1|a|x", "2|b2|BIG2"));
  EXPECT_EQ(target.sink().incomplete_rows(), 0u);
}

TEST(StateFormat, AFailedUpgradeLeavesTheFirstForm) {
  FirstForm first;
  Target& target = first.target;
  target.query("ALTER TABLE tailrace.baselines RENAME TO elsewhere");
  EXPECT_THROW(target.open(), RefusedError);
  target.close();
  EXPECT_THAT(target.query("SELECT format::VARCHAR FROM tailrace.meta"), ElementsAre("1"));
  EXPECT_THAT(target.query("SELECT column_name FROM duckdb_columns() WHERE table_name = 'incomplete' AND "
                           "column_name = 'xid'"),
              IsEmpty());
  target.query("ALTER TABLE tailrace.elsewhere RENAME TO baselines");
  target.open();
  EXPECT_TRUE(target.state().cursor);
}

TEST(StateFormat, ATargetOfANewerVersionIsRefusedAndLeftAlone) {
  Target target;
  target.close();
  target.query(fmt::format("UPDATE tailrace.meta SET format = {}", kStateFormat + 1));
  try {
    DuckdbSink(target.spec()).open();
    FAIL();
  } catch (const RefusedError& error) {
    EXPECT_EQ(error.code(), "TR603");
  }
}

}  // namespace
}  // namespace tailrace::duckdb::test
