#include "pipeline/catalog.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>

#include "base/error_code_for_test.h"
#include "pipeline/dead_letters.h"
#include "pipeline/state_directory.h"
#include "pipeline/test_parts.h"

namespace tailrace::pipeline {
namespace {

using test::TemporaryDirectory;

sinks::DeadLetter letter_at(std::uint64_t lsn, std::uint64_t ordinal, const std::string& table = "t") {
  sinks::DeadLetter letter;
  letter.position = {1, Lsn(lsn), ordinal};
  letter.seq = Seq(lsn);
  letter.xid = Xid(7);
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(7);
  relation->schema = "public";
  relation->name = table;
  letter.relation = std::move(relation);
  letter.operation = "insert";
  letter.reason = "too wide";
  letter.keep({}, ByteView("\0\1", 2));
  return letter;
}

std::vector<sinks::DeadLetter> letters_of(const std::filesystem::path& catalog, const std::string& sink) {
  std::vector<sinks::DeadLetter> found;
  DeadLetters(catalog).for_each({}, DeadLetters::Rows::kWith, [&](const KeptLetter& kept) {
    if (kept.sink == sink) found.push_back(kept.letter);
  });
  return found;
}

void run_sql(const std::filesystem::path& path, const char* sql) {
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(raw, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(raw);
  sqlite3_close(raw);
}

constexpr const char* kUnnumbered =
    "DROP TABLE dead_letter_piece; DROP TABLE dead_letter; DROP TABLE letter_relation; CREATE TABLE dead_letter(sink "
    "TEXT NOT NULL, epoch INTEGER "
    "NOT NULL, commit_end INTEGER NOT NULL, ordinal INTEGER NOT NULL, seq INTEGER NOT NULL, xid INTEGER NOT NULL, "
    "table_schema TEXT NOT NULL, table_name TEXT NOT NULL, operation TEXT NOT NULL, reason TEXT NOT NULL, row BLOB NOT "
    "NULL, PRIMARY KEY (sink, epoch, commit_end, ordinal, table_schema, table_name)) WITHOUT ROWID; "
    "DROP TABLE outcome; PRAGMA user_version = 3";

Cursor cursor_at(std::uint64_t lsn, std::uint64_t ordinal) { return {{1, Lsn(lsn), ordinal}, Seq(lsn), PgTime(5)}; }

SchemaVersion version_at(std::uint64_t lsn, const std::string& name) {
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(7);
  relation->schema = "public";
  relation->name = name;
  return {{1, Lsn(lsn), 0}, PgTime(5), "first seen", relation};
}

TEST(Catalog, KnowsTheVersionOfATableAtEveryPlace) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  {
    Catalog catalog(path, Catalog::Access::kWrite);
    catalog.store_schema_version(version_at(200, "b"));
    catalog.store_schema_version(version_at(100, "a"));
    catalog.store_schema_version(version_at(200, "ignored"));
  }
  Catalog catalog(path, Catalog::Access::kRead);
  EXPECT_FALSE(catalog.schema_version(Oid(7), {1, Lsn(99), 0}));
  EXPECT_EQ(catalog.schema_version(Oid(7), {1, Lsn(199), 5})->relation->name, "a");
  EXPECT_EQ(catalog.schema_version(Oid(7), {1, Lsn(200), 0})->relation->name, "b");
  EXPECT_EQ(catalog.schema_version(Oid(7), {2, Lsn(1), 0})->relation->name, "b");
  EXPECT_FALSE(catalog.schema_version(Oid(8), {1, Lsn(300), 0}));
  ASSERT_EQ(catalog.schema_versions().size(), 2u);
  EXPECT_EQ(catalog.schema_versions().front().relation->name, "a");
}

TEST(Catalog, TakesUpTheStateOfTheFirstVersion) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  Catalog(path, Catalog::Access::kWrite).set_text("name", "shop");
  run_sql(path, kUnnumbered);
  run_sql(path, "DROP TABLE schema_version; DROP TABLE sink_state; PRAGMA user_version = 1");
  EXPECT_TRUE(Catalog(path, Catalog::Access::kRead).schema_versions().empty());
  Catalog(path, Catalog::Access::kWrite).store_schema_version(version_at(100, "a"));
  Catalog catalog(path, Catalog::Access::kRead);
  EXPECT_EQ(catalog.schema_versions().size(), 1u);
  EXPECT_EQ(catalog.text("name"), "shop");
}

TEST(Catalog, KeepsTheStateOfASinkOverReopeningAndOverARename) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  const std::string bytes("a\0b", 3);
  {
    Catalog catalog(path, Catalog::Access::kWrite);
    catalog.attach_sinks({{.name = "a", .kind = "webhook", .display = "there"}});
    CatalogState state(catalog, "a");
    EXPECT_TRUE(state.load().empty());
    state.save({{"cursor", bytes}, {"gone", "x"}});
    state.save({{"gone", std::nullopt}});
    catalog.record_sink({.name = "a", .kind = "webhook", .display = "there", .cursor = Cursor{}});
  }
  Catalog catalog(path, Catalog::Access::kWrite);
  EXPECT_EQ(catalog.sink_state("a"), (sinks::StateMap{{"cursor", bytes}}));
  EXPECT_TRUE(catalog.sink_state("b").empty());
  catalog.attach_sinks({{.name = "b", .kind = "webhook", .display = "there"}});
  EXPECT_EQ(catalog.sink_state("b"), (sinks::StateMap{{"cursor", bytes}}));
  EXPECT_TRUE(catalog.sink_state("a").empty());
}

TEST(Catalog, GivesLettersOfEarlierVersionsNumbers) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  Catalog(path, Catalog::Access::kWrite).store_schema_version(version_at(100, "a"));
  run_sql(path, kUnnumbered);
  run_sql(path,
          "INSERT INTO dead_letter VALUES "
          "('a', 1, 90, 2, 9, 7, 'public', 't', 'insert', 'second', x'000000000100000002'), "
          "('a', 1, 90, 1, 9, 7, 'public', 't', 'insert', 'first', x'000000000100000001')");
  EXPECT_EQ(code_of([&] { DeadLetters letters(path); }), "TR223");
  EXPECT_EQ(Catalog(path, Catalog::Access::kRead).schema_versions().size(), 1u);
  Catalog catalog(path, Catalog::Access::kWrite);
  EXPECT_EQ(catalog.schema_versions().size(), 1u);
  ASSERT_EQ(catalog.count_letters("a"), 2u);
  std::vector<KeptLetter> kept;
  DeadLetters(path).for_each({}, DeadLetters::Rows::kWith,
                             [&kept](const KeptLetter& letter) { kept.push_back(letter); });
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0].letter.reason, "first");
  EXPECT_EQ(kept[0].letter.old_row, "");
  EXPECT_EQ(kept[0].letter.new_row, "\1");
  EXPECT_EQ(kept[0].id, 1u);
  EXPECT_FALSE(kept[0].letter.relation);
  EXPECT_EQ(kept[0].attempts, 1u);
  EXPECT_FALSE(kept[0].failed_at);
}

TEST(Catalog, KeepsFactsAndSinksOverReopening) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  const SinkRecord record{
      .name = "a", .kind = "duckdb", .display = "a.duckdb", .cursor = cursor_at(70, 2), .counters = {9, 5, 2, 1, 1}};
  {
    Catalog catalog(path, Catalog::Access::kWrite);
    EXPECT_EQ(catalog.load_facts(), std::nullopt);
    catalog.save_facts("{\"x\":1}", "77/5");
    catalog.record_sink(record);
    catalog.set_text("name", "shop");
  }
  Catalog catalog(path, Catalog::Access::kRead);
  EXPECT_EQ(catalog.load_facts(), "{\"x\":1}");
  EXPECT_EQ(catalog.source_id(), "77/5");
  EXPECT_EQ(catalog.text("name"), "shop");
  ASSERT_EQ(catalog.sinks().size(), 1U);
  EXPECT_EQ(catalog.sinks()[0].cursor, record.cursor);
  EXPECT_EQ(catalog.sinks()[0].counters, record.counters);
}

TEST(Catalog, KeepsWhatBecameOfASinksChangesByTable) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  sinks::OutcomeCounts orders;
  orders.set(0, sinks::Outcome::kApplied, 7);
  orders.set(2, sinks::Outcome::kHeld, 2);
  sinks::OutcomeCounts customers;
  customers.set(1, sinks::Outcome::kDeadLettered, 3);
  SinkRecord record{.name = "a", .kind = "duckdb", .display = "a.duckdb", .cursor = cursor_at(70, 2)};
  record.outcomes = {{"orders", orders}, {"customers", customers}};
  {
    Catalog catalog(path, Catalog::Access::kWrite);
    catalog.record_sink(record);
    orders.set(0, sinks::Outcome::kApplied, 8);
    record.outcomes = {{"orders", orders}};
    catalog.record_sink(record);
  }
  Catalog catalog(path, Catalog::Access::kWrite);
  const sinks::TableOutcomes both = {{"orders", orders}, {"customers", customers}};
  EXPECT_EQ(catalog.outcomes("a"), both);
  record.name = "b";
  catalog.attach_sinks({record});
  EXPECT_EQ(catalog.outcomes("b"), both);
  EXPECT_TRUE(catalog.outcomes("a").empty());
  record.all_outcomes = true;
  catalog.record_sink(record);
  EXPECT_EQ(catalog.outcomes("b"), record.outcomes);
}

TEST(Catalog, NoLetterStaysAboveTheCursor) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  Catalog catalog(path, Catalog::Access::kWrite);
  catalog.store_letters("a", {letter_at(10, 0), letter_at(20, 1), letter_at(20, 2), letter_at(30, 0)});
  catalog.store_letters("b", {letter_at(30, 0)});
  catalog.remove_letters_above("a", cursor_at(20, 2), {});
  ASSERT_EQ(catalog.count_letters("a"), 2U);
  EXPECT_EQ(letters_of(path, "a")[1].position, (Position{1, Lsn(20), 1}));
  EXPECT_EQ(letters_of(path, "a")[1].old_row, "");
  EXPECT_EQ(letters_of(path, "a")[1].new_row, ByteView("\0\1", 2));
  EXPECT_EQ(catalog.count_letters("b"), 1U);
}

TEST(Catalog, ALetterAtTheSamePlaceIsReplaced) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  Catalog catalog(path, Catalog::Access::kWrite);
  catalog.store_letters("a", {letter_at(10, 0)});
  catalog.store_letters("a", {letter_at(10, 0)});
  EXPECT_EQ(catalog.count_letters("a"), 1U);
}

TEST(Catalog, WithoutACursorOnlyLettersOfCopiedTablesStay) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  Catalog catalog(path, Catalog::Access::kWrite);
  catalog.store_letters("a", {letter_at(0, 0, "done"), letter_at(0, 0, "half")});
  catalog.remove_letters_above("a", std::nullopt, {"public.done"});
  ASSERT_EQ(catalog.count_letters("a"), 1U);
  EXPECT_EQ(letters_of(path, "a")[0].relation->name, "done");
}

TEST(Catalog, ALargeRowIsKeptInPiecesAndGoesWithItsLetter) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  Catalog catalog(path, Catalog::Access::kWrite);
  const std::string old_row(700'000, 'o');
  std::string new_row(5'000'000, 'n');
  new_row.replace(1 << 20, 3, "abc");
  sinks::DeadLetter letter = letter_at(10, 0);
  letter.keep(old_row, new_row);
  catalog.store_letters("a", {letter, letter_at(20, 0)});
  catalog.store_letters("a", {letter});
  const auto found = letters_of(path, "a");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].old_row, old_row);
  EXPECT_EQ(found[0].new_row, new_row);
  EXPECT_EQ(found[1].new_row, ByteView("\0\1", 2));
  EXPECT_TRUE(catalog.has_letters("a", "public", "t"));
  EXPECT_FALSE(catalog.has_letters("a", "public", "u"));
  catalog.attach_sinks({{.name = "a", .kind = "k", .display = "1"}});
  catalog.attach_sinks({{.name = "b", .kind = "k", .display = "1"}});
  EXPECT_EQ(letters_of(path, "b")[0].new_row, new_row);

  catalog.remove_letters_above("b", cursor_at(10, 0), {});
  EXPECT_FALSE(catalog.has_letters("b", "public", "t"));
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
  sqlite3_stmt* pieces = nullptr;
  ASSERT_EQ(sqlite3_prepare_v2(raw, "SELECT count(*) FROM dead_letter_piece", -1, &pieces, nullptr), SQLITE_OK);
  ASSERT_EQ(sqlite3_step(pieces), SQLITE_ROW);
  EXPECT_EQ(sqlite3_column_int64(pieces, 0), 0);
  sqlite3_finalize(pieces);
  sqlite3_close(raw);
}

SinkRecord sink_called(const std::string& name, const std::string& display) {
  return {.name = name, .kind = "k", .display = display};
}

TEST(Catalog, ASinkThatIsNamedNoMoreKeepsItsLettersAndComesBackWithThem) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  Catalog catalog(path, Catalog::Access::kWrite);
  catalog.attach_sinks({sink_called("a", "1"), sink_called("b", "2"), sink_called("c", "3")});
  SinkRecord a = sink_called("a", "1");
  a.cursor = cursor_at(70, 2);
  catalog.record_sink(a);
  catalog.store_letters("b", {letter_at(10, 0)});
  const SinkChanges changes = catalog.attach_sinks({});
  ASSERT_EQ(changes.detached.size(), 2U) << "only what has neither cursor nor letters is forgotten";
  EXPECT_EQ(changes.detached[0].cursor, a.cursor);
  EXPECT_EQ(changes.detached[1].dead_letters, 1U);
  EXPECT_EQ(catalog.count_letters("b"), 1U);
  ASSERT_EQ(catalog.sinks().size(), 2U);
  EXPECT_FALSE(catalog.sinks()[0].attached);
  EXPECT_TRUE(catalog.attach_sinks({sink_called("a", "1"), sink_called("b", "2")}).detached.empty());
  EXPECT_TRUE(catalog.sinks()[1].attached);
  EXPECT_EQ(catalog.sinks()[0].cursor, a.cursor);
  EXPECT_EQ(catalog.count_letters("b"), 1U);
}

TEST(Catalog, AnotherNameForATargetTakesCursorAndLettersAlong) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  Catalog catalog(path, Catalog::Access::kWrite);
  SinkRecord old = sink_called("old", "1");
  old.cursor = cursor_at(70, 2);
  catalog.record_sink(old);
  catalog.store_letters("old", {letter_at(10, 0)});
  const SinkChanges changes = catalog.attach_sinks({sink_called("new", "1")});
  EXPECT_EQ(changes.renamed, (std::vector<std::pair<std::string, std::string>>{{"old", "new"}}));
  EXPECT_TRUE(changes.detached.empty());
  EXPECT_EQ(catalog.count_letters("new"), 1U);
  EXPECT_EQ(catalog.count_letters("old"), 0U);
  ASSERT_EQ(catalog.sinks().size(), 1U);
  EXPECT_EQ(catalog.sinks()[0].cursor, old.cursor);
}

TEST(Catalog, TargetsThatChangeHandsAreRefusedAndNothingIsTouched) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  Catalog catalog(path, Catalog::Access::kWrite);
  for (const auto& [name, target] : {std::pair("a", "1"), std::pair("b", "2")}) {
    catalog.record_sink(sink_called(name, target));
    catalog.store_letters(name, {letter_at(10, 0)});
  }
  EXPECT_EQ(code_of([&] { catalog.attach_sinks({sink_called("a", "2"), sink_called("b", "1")}); }), "TR520");
  EXPECT_EQ(code_of([&] { catalog.attach_sinks({sink_called("a", "2")}); }), "TR520");
  EXPECT_EQ(catalog.sinks().size(), 2U);
  EXPECT_EQ(catalog.count_letters("a"), 1U);
  EXPECT_EQ(catalog.count_letters("b"), 1U);
}

TEST(Catalog, StateOfANewerVersionIsRefused) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  {
    Catalog catalog(path, Catalog::Access::kWrite);
  }
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  sqlite3_exec(db, "PRAGMA user_version = 99", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  EXPECT_EQ(code_of([&] { Catalog(path, Catalog::Access::kWrite); }), "TR510");
}

TEST(Catalog, WhatIsNoCatalogIsDamage) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "catalog.sqlite";
  std::ofstream(path) << std::string(8192, 'x');
  EXPECT_EQ(code_of([&] { Catalog(path, Catalog::Access::kWrite); }), "TR515");
}

TEST(StateDirectory, IsHeldByOneProcessAlone) {
  const TemporaryDirectory directory;
  const auto root = directory.path() / "shop";
  {
    const StateDirectory held(root);
    try {
      const StateDirectory second(root);
      FAIL();
    } catch (const BadConfigError& error) {
      EXPECT_EQ(error.code(), "TR511");
      EXPECT_NE(std::string(error.what()).find(std::to_string(::getpid())), std::string::npos);
    }
  }
  const StateDirectory again(root);
}

TEST(StateDirectory, ThatCannotBeMadeIsNamed) {
  EXPECT_EQ(code_of([] { StateDirectory("/proc/nothing/here"); }), "TR512");
}

TEST(StateDirectory, UnknownNamesAreABadRequest) {
  EXPECT_EQ(code_of([] { find_state("/nowhere", ""); }), "TR513");
  EXPECT_EQ(code_of([] { find_state("", "no_such_pipeline"); }), "TR513");
}

}  // namespace
}  // namespace tailrace::pipeline
