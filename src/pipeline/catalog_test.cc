#include "pipeline/catalog.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>

#include "pipeline/state_directory.h"
#include "pipeline/test_parts.h"

namespace tailrace::pipeline {
namespace {

using test::TemporaryDirectory;

sinks::DeadLetter letter_at(std::uint64_t lsn, std::uint64_t ordinal, const std::string& table = "t") {
  return {.position = {1, Lsn(lsn), ordinal},
          .seq = Seq(lsn),
          .xid = Xid(7),
          .schema = "public",
          .table = table,
          .operation = "insert",
          .reason = "too wide",
          .row = std::string("\0\1", 2)};
}

Cursor cursor_at(std::uint64_t lsn, std::uint64_t ordinal) { return {{1, Lsn(lsn), ordinal}, Seq(lsn), PgTime(5)}; }

template <typename Throwing>
std::string code_of(const Throwing& throwing) {
  try {
    throwing();
  } catch (const Error& error) {
    return error.code();
  }
  return "none";
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

TEST(Catalog, NoLetterStaysAboveTheCursor) {
  const TemporaryDirectory directory;
  Catalog catalog(directory.path() / "catalog.sqlite", Catalog::Access::kWrite);
  catalog.store_letters("a", {letter_at(10, 0), letter_at(20, 1), letter_at(20, 2), letter_at(30, 0)});
  catalog.store_letters("b", {letter_at(30, 0)});
  catalog.remove_letters_above("a", cursor_at(20, 2), {});
  ASSERT_EQ(catalog.count_letters("a"), 2U);
  EXPECT_EQ(catalog.letters("a")[1].position, (Position{1, Lsn(20), 1}));
  EXPECT_EQ(catalog.letters("a")[1].row, std::string("\0\1", 2));
  EXPECT_EQ(catalog.count_letters("b"), 1U);
}

TEST(Catalog, ALetterAtTheSamePlaceIsReplaced) {
  const TemporaryDirectory directory;
  Catalog catalog(directory.path() / "catalog.sqlite", Catalog::Access::kWrite);
  catalog.store_letters("a", {letter_at(10, 0)});
  catalog.store_letters("a", {letter_at(10, 0)});
  EXPECT_EQ(catalog.count_letters("a"), 1U);
}

TEST(Catalog, WithoutACursorOnlyLettersOfCopiedTablesStay) {
  const TemporaryDirectory directory;
  Catalog catalog(directory.path() / "catalog.sqlite", Catalog::Access::kWrite);
  catalog.store_letters("a", {letter_at(0, 0, "done"), letter_at(0, 0, "half")});
  catalog.remove_letters_above("a", std::nullopt, {"public.done"});
  ASSERT_EQ(catalog.count_letters("a"), 1U);
  EXPECT_EQ(catalog.letters("a")[0].table, "done");
}

TEST(Catalog, SinksThatAreGoneAreForgottenWithTheirLetters) {
  const TemporaryDirectory directory;
  Catalog catalog(directory.path() / "catalog.sqlite", Catalog::Access::kWrite);
  catalog.record_sink({.name = "a", .kind = "k", .display = "d"});
  catalog.record_sink({.name = "b", .kind = "k", .display = "d"});
  catalog.store_letters("a", {letter_at(10, 0)});
  catalog.keep_sinks({"b"});
  EXPECT_EQ(catalog.sinks().size(), 1U);
  EXPECT_EQ(catalog.count_letters("a"), 0U);
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
