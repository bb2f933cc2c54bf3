#include "sinks/duckdb/key.h"

namespace tailrace::duckdb {
namespace {

bool read_column(TupleView tuple, TupleView fallback, std::size_t column, Field& field) {
  auto cursor = tuple.begin();
  for (std::size_t n = 0; n < column; ++n) cursor.next();
  field = cursor.next();
  if (field.kind == FieldKind::kUnchanged && fallback.present()) return read_column(fallback, {}, column, field);
  return field.kind == FieldKind::kText;
}

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace

bool read_key(TupleView tuple, TupleView fallback, const std::vector<std::size_t>& columns, Arena& arena,
              ByteView& key) {
  Field field;
  if (columns.size() == 1) {
    if (!read_column(tuple, fallback, columns.front(), field)) return false;
    key = field.bytes;
    return true;
  }
  std::size_t size = 0;
  for (const std::size_t column : columns) {
    if (!read_column(tuple, fallback, column, field)) return false;
    size += 4 + field.bytes.size();
  }
  char* at = arena.allocate(size);
  key = {at, size};
  for (const std::size_t column : columns) {
    read_column(tuple, fallback, column, field);
    const auto length = static_cast<std::uint32_t>(field.bytes.size());
    std::memcpy(at, &length, 4);
    if (length > 0) std::memcpy(at + 4, field.bytes.data(), length);
    at += 4 + length;
  }
  return true;
}

void split_key(ByteView key, std::size_t columns, std::vector<Field>& out) {
  out.clear();
  if (columns == 1) {
    out.push_back({FieldKind::kText, key});
    return;
  }
  ByteReader in(key);
  while (!in.empty()) out.push_back({FieldKind::kText, in.bytes(in.le32())});
}

std::uint64_t hash_bytes(ByteView bytes, std::uint64_t seed) {
  constexpr std::uint64_t kFirst = 0x9e3779b97f4a7c15ULL;
  constexpr std::uint64_t kSecond = 0xd6e8feb86659fd93ULL;
  std::uint64_t hash = seed ^ (bytes.size() * kFirst);
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t word = 0;
  for (; left >= 8; at += 8, left -= 8) {
    std::memcpy(&word, at, 8);
    hash = mix(hash ^ word, kSecond);
  }
  if (left > 0) {
    word = 0;
    std::memcpy(&word, at, left);
    hash = mix(hash ^ word, kSecond);
  }
  return mix(hash ^ kFirst, kSecond);
}

}  // namespace tailrace::duckdb
