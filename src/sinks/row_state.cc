#include "sinks/row_state.h"

#include <charconv>
#include <utility>

#include "base/bytes.h"
#include "base/error.h"

namespace tailrace::sinks {
namespace {

constexpr std::string_view kTable = "table:";
constexpr std::string_view kLetter = "letter:";
constexpr std::string_view kLacking = "lacking:";
constexpr std::string_view kOutcomesOf = "outcomes:";
constexpr std::string_view kHex = "0123456789abcdef";

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

[[noreturn]] void unreadable(const std::string& key) {
  throw CorruptionError("TR800", "the target keeps a state that this version cannot read: " + key,
                        "was it written by a newer version? Else let Tailrace copy the tables again");
}

std::string unhex(std::string_view text, const std::string& key) {
  std::string out;
  if (text.size() % 2 != 0) unreadable(key);
  for (std::size_t at = 0; at < text.size(); at += 2) {
    const std::size_t high = kHex.find(text[at]);
    const std::size_t low = kHex.find(text[at + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) unreadable(key);
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

std::string of_row(std::string_view what, const RowTable& table, std::string_view key) {
  return std::string(what) + std::to_string(table.relation->oid.value()) + ":" + hex(key);
}

RowTable decode_table(std::string_view bytes, const std::string& key) {
  ByteReader in(bytes);
  RowTable table;
  const std::uint8_t standing = in.u8();
  if (standing > static_cast<std::uint8_t>(RowStanding::kGone)) unreadable(key);
  table.standing = static_cast<RowStanding>(standing);
  table.empty = in.u8() != 0;
  table.made = in.u8() != 0;
  const auto snapshot = SnapshotXids::parse(std::string(in.bytes(in.le32())));
  if (!snapshot) unreadable(key);
  table.fence.snapshot = *snapshot;
  table.fence.end = Lsn(in.le64());
  table.fence.taken_at = PgTime(static_cast<std::int64_t>(in.le64()));
  table.copied_rows = in.le64();
  table.reason = in.bytes(in.le32());
  table.become(decode_relation(in.rest()));
  return table;
}

void append(const Position& position, ByteWriter& out) {
  out.le32(position.epoch);
  out.le64(position.commit_end.value());
  out.le64(position.ordinal);
}

Position read_position(ByteReader& in) {
  Position position;
  position.epoch = in.le32();
  position.commit_end = Lsn(in.le64());
  position.ordinal = in.le64();
  return position;
}

LackingRow decode_lacking(std::string_view bytes) {
  ByteReader in(bytes);
  LackingRow row;
  row.at = read_position(in);
  row.seq = Seq(in.le64());
  row.xid = Xid(in.le32());
  row.commit_time = PgTime(static_cast<std::int64_t>(in.le64()));
  return row;
}

/// The table of "OID:KEY", and the key.
std::pair<RowTable*, std::string> place_of(std::string_view rest, std::map<std::uint32_t, RowTable>& tables,
                                           const std::string& key) {
  std::uint32_t oid = 0;
  const auto [end, failed] = std::from_chars(rest.data(), rest.data() + rest.size(), oid);
  const auto digits = static_cast<std::size_t>(end - rest.data());
  if (failed != std::errc() || digits >= rest.size() || rest[digits] != ':') unreadable(key);
  const auto table = tables.find(oid);
  return {table == tables.end() ? nullptr : &table->second, unhex(rest.substr(digits + 1), key)};
}

}  // namespace

std::string encode_cursor(const Cursor& cursor, const Counters& counters) {
  std::string bytes;
  ByteWriter out(bytes);
  append(cursor.position, out);
  out.le64(cursor.seq.value());
  out.le64(static_cast<std::uint64_t>(cursor.commit_time.micros()));
  for (const std::uint64_t count :
       {counters.received, counters.applied, counters.filtered, counters.dead_lettered, counters.held})
    out.le64(count);
  return bytes;
}

std::pair<Cursor, Counters> decode_cursor(const std::string& bytes) {
  ByteReader in(bytes);
  Cursor cursor;
  cursor.position = read_position(in);
  cursor.seq = Seq(in.le64());
  cursor.commit_time = PgTime(static_cast<std::int64_t>(in.le64()));
  Counters counters;
  for (std::uint64_t* count :
       {&counters.received, &counters.applied, &counters.filtered, &counters.dead_lettered, &counters.held})
    *count = in.le64();
  return {cursor, counters};
}

std::string table_key(const RowTable& table) {
  return std::string(kTable) + std::to_string(table.relation->oid.value());
}
std::string letter_key(const RowTable& table, std::string_view key) { return of_row(kLetter, table, key); }
std::string lacking_key(const RowTable& table, std::string_view key) { return of_row(kLacking, table, key); }

std::string encode_table(const RowTable& table) {
  std::string bytes;
  ByteWriter out(bytes);
  out.u8(static_cast<std::uint8_t>(table.standing));
  out.u8(table.empty ? 1 : 0);
  out.u8(table.made ? 1 : 0);
  out.sized(table.fence.snapshot.str());
  out.le64(table.fence.end.value());
  out.le64(static_cast<std::uint64_t>(table.fence.taken_at.micros()));
  out.le64(table.copied_rows);
  out.sized(table.reason);
  out.bytes(encode_relation(*table.relation));
  return bytes;
}

std::string encode_passed(const Position& at) {
  std::string bytes;
  ByteWriter out(bytes);
  if (at != Position{}) append(at, out);
  return bytes;
}

std::string encode_lacking(const LackingRow& row) {
  std::string bytes;
  ByteWriter out(bytes);
  append(row.at, out);
  out.le64(row.seq.value());
  out.le32(row.xid.value());
  out.le64(static_cast<std::uint64_t>(row.commit_time.micros()));
  return bytes;
}

std::string outcomes_key(const std::string& table) { return std::string(kOutcomesOf) + hex(table); }

/// Only what is not zero: (operation, outcome, changes).
std::string encode_outcomes(const OutcomeCounts& counts) {
  std::string bytes;
  ByteWriter out(bytes);
  for (std::size_t operation = 0; operation < OutcomeCounts::kOperations; ++operation) {
    for (const Outcome outcome : kOutcomes) {
      if (counts.of(operation, outcome) == 0) continue;
      out.u8(static_cast<std::uint8_t>(operation));
      out.u8(static_cast<std::uint8_t>(outcome));
      out.le64(static_cast<std::uint64_t>(counts.of(operation, outcome)));
    }
  }
  return bytes;
}

TableOutcomes read_outcomes(const StateMap& state) {
  TableOutcomes all;
  for (const auto& [key, bytes] : state) {
    if (!key.starts_with(kOutcomesOf)) continue;
    OutcomeCounts& counts = all[unhex(std::string_view(key).substr(kOutcomesOf.size()), key)];
    try {
      for (ByteReader in(bytes); !in.empty();) {
        const std::uint8_t operation = in.u8();
        const std::uint8_t outcome = in.u8();
        if (operation >= OutcomeCounts::kOperations || outcome >= kOutcomes.size()) unreadable(key);
        counts.set(operation, kOutcomes[outcome], static_cast<std::int64_t>(in.le64()));
      }
    } catch (const OutOfBytes&) {
      unreadable(key);
    }
  }
  return all;
}

std::map<std::uint32_t, RowTable> read_tables(const StateMap& state) {
  std::map<std::uint32_t, RowTable> tables;
  for (const auto& [key, bytes] : state) {
    try {
      if (key.starts_with(kTable)) {
        RowTable table = decode_table(bytes, key);
        const std::uint32_t oid = table.relation->oid.value();
        tables.emplace(oid, std::move(table));
      }
    } catch (const OutOfBytes&) {
      unreadable(key);
    } catch (const BadDataError&) {
      unreadable(key);
    }
  }
  for (const auto& [key, bytes] : state) {
    const bool letter = key.starts_with(kLetter);
    if (!letter && !key.starts_with(kLacking)) continue;
    auto [table, row] = place_of(std::string_view(key).substr(letter ? kLetter.size() : kLacking.size()), tables, key);
    if (table == nullptr) continue;
    try {
      if (letter) {
        ByteReader in(bytes);
        table->lettered.emplace(std::move(row), bytes.empty() ? Position{} : read_position(in));
        continue;
      }
      table->lacking.emplace(std::move(row), decode_lacking(bytes));
    } catch (const OutOfBytes&) {
      unreadable(key);
    }
  }
  return tables;
}

}  // namespace tailrace::sinks
