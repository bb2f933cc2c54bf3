#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "base/let_go.h"
#include "pipeline/catalog.h"
#include "pipeline/catalog_statement.h"

namespace tailrace::pipeline {
namespace {

// SQLite holds a row that it takes or gives in memory, more than once.
constexpr std::size_t kPieceBytes = 1 << 20;
/// Rows of so many bytes lie in files (journal::LongMessage).
constexpr std::size_t kLong = 32 << 20;

/// What stands before each row in the catalog (32 bits, little endian; 0: absent).
std::array<std::string, 2> row_lengths(const sinks::DeadLetter& letter) {
  std::array<std::string, 2> lengths;
  ByteWriter(lengths[0]).le32(static_cast<std::uint32_t>(letter.old_row.size()));
  ByteWriter(lengths[1]).le32(static_cast<std::uint32_t>(letter.new_row.size()));
  return lengths;
}

bool in_pieces(const sinks::DeadLetter& letter) { return letter.old_row.size() + letter.new_row.size() > kPieceBytes; }

std::string encoded_rows(const sinks::DeadLetter& letter) {
  std::string bytes;
  ByteWriter out(bytes);
  out.sized(letter.old_row);
  out.sized(letter.new_row);
  return bytes;
}

}  // namespace

void Catalog::store_letters(const std::string& sink, const std::vector<sinks::DeadLetter>& letters) {
  if (letters.empty()) return;
  const std::lock_guard lock(mutex_);
  change([&] {
    // Copied rows have no place of their own: another row at the same one is another letter.
    Statement statement(
        *this,
        "INSERT INTO dead_letter(sink, epoch, commit_end, ordinal, seq, xid, committed, relation, "
        "table_schema, table_name, operation, reason, row, attempts, failed_at) VALUES (?, ?, ?, ?, ?, "
        "?, ?, ?, ?, ?, ?, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq, xid = excluded.xid, committed = "
        "excluded.committed, relation = "
        "excluded.relation, operation = excluded.operation, reason = excluded.reason, attempts = CASE "
        "WHEN commit_end = 0 THEN 1 ELSE attempts + 1 END, row = excluded.row, failed_at = "
        "excluded.failed_at RETURNING id");
    std::map<const Relation*, std::uint64_t> numbers;
    for (const sinks::DeadLetter& letter : letters) {
      statement.bind(sink)
          .bind(letter.position)
          .bind(letter.seq.value())
          .bind(std::uint64_t{letter.xid.value()})
          .bind(letter.committed.micros())
          .bind(number_of(letter.relation, numbers))
          .bind(letter.relation->schema)
          .bind(letter.relation->name)
          .bind(letter.operation)
          .bind(letter.reason)
          .bind_blob(in_pieces(letter) ? std::string() : encoded_rows(letter))
          .bind(PgTime::now().unix_micros())
          .step();
      const std::uint64_t id = statement.number(0);
      statement.rewind();
      store_pieces(id, letter);
    }
  });
}

std::uint64_t Catalog::number_of(const RelationPtr& relation, std::map<const Relation*, std::uint64_t>& numbers) {
  const auto [known, is_new] = numbers.try_emplace(relation.get());
  if (!is_new) return known->second;
  const std::string bytes = encode_relation(*relation);
  Statement(*this, "INSERT OR IGNORE INTO letter_relation(relation) VALUES (?)").bind_blob(bytes).run();
  Statement number(*this, "SELECT id FROM letter_relation WHERE relation = ?");
  number.bind_blob(bytes).step();
  return known->second = number.number(0);
}

void Catalog::store_pieces(std::uint64_t id, const sinks::DeadLetter& letter) {
  Statement(*this, "DELETE FROM dead_letter_piece WHERE letter = ?").bind(id).run();
  if (!in_pieces(letter)) return;
  Statement statement(*this, "INSERT INTO dead_letter_piece VALUES (?, ?, ?)");
  std::uint64_t piece = 0;
  const auto lengths = row_lengths(letter);
  for (ByteView left : {ByteView(lengths[0]), letter.old_row, ByteView(lengths[1]), letter.new_row}) {
    const bool is_long = left.size() >= kLong;
    for (; !left.empty(); left.remove_prefix(std::min(left.size(), kPieceBytes))) {
      statement.bind(id).bind(piece++).bind_blob(left.substr(0, kPieceBytes)).run();
      if (is_long) let_go(left.substr(0, kPieceBytes));
    }
  }
}

void Catalog::remove_letters_above(const std::string& sink, const std::optional<Cursor>& cursor,
                                   const std::vector<std::string>& copied) {
  const std::lock_guard lock(mutex_);
  if (cursor) {
    // A cursor's ordinal is one past the last change done, so a letter at the cursor itself lies above it.
    Statement(*this, "DELETE FROM dead_letter WHERE sink = ? AND (epoch, commit_end, ordinal) >= (?, ?, ?)")
        .bind(sink)
        .bind(cursor->position)
        .run();
    return;
  }
  const std::string kept = nlohmann::json(copied).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  Statement(*this,
            "DELETE FROM dead_letter WHERE sink = ? AND table_schema || '.' || table_name NOT IN "
            "(SELECT value FROM json_each(?))")
      .bind(sink)
      .bind(kept)
      .run();
}

bool Catalog::has_letters(const std::string& sink, const std::string& schema, const std::string& table) {
  const std::lock_guard lock(mutex_);
  Statement statement(*this,
                      "SELECT 1 FROM dead_letter WHERE sink = ? AND table_schema = ? AND table_name = ? LIMIT 1");
  return statement.bind(sink).bind(schema).bind(table).step();
}

std::uint64_t Catalog::count_letters(const std::string& sink) {
  const std::lock_guard lock(mutex_);
  Statement statement(*this, "SELECT count(*) FROM dead_letter WHERE sink = ?");
  statement.bind(sink);
  return statement.step() ? statement.number(0) : 0;
}

}  // namespace tailrace::pipeline
