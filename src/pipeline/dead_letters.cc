#include "pipeline/dead_letters.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "pipeline/sqlite_statement.h"
#include "sinks/row_table.h"

namespace tailrace::pipeline {
namespace {

constexpr int kPatienceMillis = 10'000;
/// The first that numbers letters.
constexpr std::uint64_t kNumbersLetters = 4;

/// Of both parameters of a choice: the sink, and the ids as a JSON array.
constexpr const char* kMeant =
    "(?1 = '' OR sink = ?1) AND (?2 = '[]' OR id IN (SELECT value FROM json_each(?2))) AND (?3 = '' OR table_schema = "
    "?3) AND (?4 = '' OR table_name = ?4)";

std::string ids_of(const LetterChoice& choice) { return nlohmann::json(choice.ids).dump(); }

/// The rows that it is about.
std::set<std::string> keys_of(const sinks::DeadLetter& letter) {
  std::set<std::string> keys;
  const std::vector<std::size_t> columns = letter.relation->match_key();
  if (columns.empty()) return keys;
  const TupleView old_row(letter.old_row);
  const TupleView new_row(letter.new_row);
  for (const TupleView row : {old_row, new_row})
    if (row.present())
      if (auto key = sinks::key_tuple(row, old_row, columns)) keys.insert(std::move(*key));
  return keys;
}

}  // namespace

DeadLetters::DeadLetters(const std::filesystem::path& catalog)
    : path_(catalog), catalog_(catalog, Catalog::Access::kRead) {
  if (sqlite3_open_v2(path_.c_str(), &db_, SQLITE_OPEN_READWRITE, nullptr) != SQLITE_OK) {
    sqlite3_close(db_);
    throw BadConfigError("TR512", fmt::format("the catalog {} cannot be opened", path_.string()),
                         "check that the state directory is there and writable");
  }
  try {
    sqlite3_busy_timeout(db_, kPatienceMillis);
    execute("PRAGMA foreign_keys = ON");
    SqliteStatement version(db_, path_, "PRAGMA user_version");
    if (!version.step() || version.number(0) < kNumbersLetters) {
      throw RefusedError("TR223", fmt::format("the dead letters in {} have no numbers yet", path_.string()),
                         "start the pipeline once with this version of Tailrace");
    }
  } catch (const Error&) {
    sqlite3_close(db_);
    throw;
  }
}

DeadLetters::~DeadLetters() { sqlite3_close(db_); }

void DeadLetters::check_sink(const std::string& sink) {
  if (sink.empty()) return;
  const std::vector<SinkRecord> known = catalog_.sinks();
  if (std::ranges::find(known, sink, &SinkRecord::name) == known.end())
    throw BadConfigError("TR513", fmt::format("there is no sink `{}`", sink), "look at `tailrace status`");
}

void DeadLetters::check_ids(const LetterChoice& choice) {
  for (const std::uint64_t id : choice.ids) {
    SqliteStatement known(db_, path_, "SELECT 1 FROM dead_letter WHERE id = ? AND (?2 = '' OR sink = ?2)");
    known.bind(id).bind(choice.sink);
    if (!known.step())
      throw BadConfigError("TR224", fmt::format("there is no dead letter {}", id), "look at `tailrace dlq list`");
  }
}

void DeadLetters::for_each(const LetterChoice& choice, Rows rows, const std::function<void(const KeptLetter&)>& take) {
  check_sink(choice.sink);
  check_ids(choice);
  const std::string sql = fmt::format(
      "SELECT epoch, commit_end, ordinal, seq, xid, relation, table_schema, table_name, operation, reason, id, sink, "
      "attempts, failed_at, committed, {} FROM dead_letter WHERE {} ORDER BY sink, epoch, commit_end, ordinal",
      rows == Rows::kWith ? "row" : "''", kMeant);
  SqliteStatement statement(db_, path_, sql.c_str());
  statement.bind(choice.sink).bind(ids_of(choice)).bind(choice.schema).bind(choice.table);
  while (statement.step()) {
    KeptLetter kept;
    kept.letter.position = statement.position(0);
    kept.letter.seq = Seq(statement.number(3));
    kept.letter.xid = Xid(static_cast<std::uint32_t>(statement.number(4)));
    kept.letter.relation = relation(statement.number(5));
    kept.schema = statement.text(6);
    kept.table = statement.text(7);
    kept.letter.operation = statement.text(8);
    kept.letter.reason = statement.text(9);
    kept.id = statement.number(10);
    kept.sink = statement.text(11);
    kept.attempts = statement.number(12);
    if (const auto micros = static_cast<std::int64_t>(statement.number(13)); micros != 0)
      kept.failed_at = PgTime::from_unix_micros(micros);
    kept.letter.committed = PgTime(static_cast<std::int64_t>(statement.number(14)));
    if (rows == Rows::kWith) take_rows(kept.id, statement.text(15), kept.letter);
    take(kept);
  }
}

void DeadLetters::take_rows(std::uint64_t id, std::string bytes, sinks::DeadLetter& letter) {
  if (bytes.empty()) {
    SqliteStatement size(db_, path_, "SELECT total(length(bytes)) FROM dead_letter_piece WHERE letter = ?");
    size.bind(id).step();
    bytes.reserve(size.number(0));
    SqliteStatement pieces(db_, path_, "SELECT bytes FROM dead_letter_piece WHERE letter = ? ORDER BY piece");
    pieces.bind(id);
    while (pieces.step()) bytes += pieces.text(0);
  }
  const auto rows = std::make_shared<const std::string>(std::move(bytes));
  ByteReader in(*rows);
  letter.old_row = in.bytes(in.le32());
  letter.new_row = in.bytes(in.le32());
  letter.held = {rows};
}

std::vector<KeptLetter> DeadLetters::chain(const std::string& sink, std::uint64_t id) {
  std::vector<KeptLetter> chain;
  for_each({.sink = sink, .ids = {id}}, Rows::kWith, [&chain](const KeptLetter& kept) { chain.push_back(kept); });
  const KeptLetter first = chain.front();
  if (!first.letter.relation)
    throw RefusedError("TR227", fmt::format("dead letter {} was kept by an earlier version", id),
                       "drop it, and have its table copied again");
  std::set<std::string> keys = keys_of(first.letter);
  if (keys.empty()) return chain;
  // A row that moves takes its letters along, so keys that are found later lead to earlier letters, too.
  for (std::size_t known = 0; known != keys.size();) {
    known = keys.size();
    chain.clear();
    for_each({.sink = sink, .ids = {}, .schema = first.schema, .table = first.table}, Rows::kWith,
             [&](const KeptLetter& kept) {
               if (!kept.letter.relation) return;
               std::set<std::string> more = keys_of(kept.letter);
               if (std::ranges::none_of(more, [&keys](const std::string& key) { return keys.contains(key); })) return;
               keys.merge(more);
               chain.push_back(kept);
             });
  }
  return chain;
}

void DeadLetters::note_attempt(std::uint64_t id) {
  SqliteStatement(db_, path_, "UPDATE dead_letter SET attempts = attempts + 1, failed_at = ? WHERE id = ?")
      .bind(PgTime::now().unix_micros())
      .bind(id)
      .run();
}

std::vector<LetterCount> DeadLetters::count(const std::string& sink) {
  check_sink(sink);
  SqliteStatement statement(db_, path_,
                            "SELECT sink, table_schema || '.' || table_name, reason, count(*) FROM dead_letter "
                            "WHERE ?1 = '' OR sink = ?1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3");
  statement.bind(sink);
  std::vector<LetterCount> counts;
  while (statement.step())
    counts.push_back({statement.text(0), statement.text(1), statement.text(2), statement.number(3)});
  return counts;
}

void DeadLetters::execute(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) throw_catalog_error(db_, path_, "run");
}

std::uint64_t DeadLetters::drop(const LetterChoice& choice) {
  check_sink(choice.sink);
  execute("BEGIN IMMEDIATE");
  try {
    check_ids(choice);
    SqliteStatement(db_, path_, fmt::format("DELETE FROM dead_letter WHERE {}", kMeant).c_str())
        .bind(choice.sink)
        .bind(ids_of(choice))
        .bind(choice.schema)
        .bind(choice.table)
        .run();
    const auto dropped = static_cast<std::uint64_t>(sqlite3_changes64(db_));
    execute("COMMIT");
    return dropped;
  } catch (const Error&) {
    sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

RelationPtr DeadLetters::relation(std::uint64_t number) {
  if (number == 0) return nullptr;
  RelationPtr& known = relations_[number];
  if (known) return known;
  SqliteStatement statement(db_, path_, "SELECT relation FROM letter_relation WHERE id = ?");
  statement.bind(number);
  if (!statement.step())
    throw CorruptionError("TR515", fmt::format("{} lacks a table's description", path_.string()),
                          "restore the state directory, or move it away for a new copy");
  return known = decode_relation(statement.text(0));
}

}  // namespace tailrace::pipeline
