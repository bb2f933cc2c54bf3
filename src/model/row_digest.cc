#include "model/row_digest.h"

#include <bit>
#include <cstring>

namespace tailrace {
namespace {

constexpr std::uint32_t kBool = 16;
constexpr std::uint32_t kInt8 = 20;
constexpr std::uint32_t kInt2 = 21;
constexpr std::uint32_t kInt4 = 23;
constexpr std::uint32_t kFloat4 = 700;
constexpr std::uint32_t kFloat8 = 701;

struct Mixer {
  std::uint32_t a;
  std::uint32_t b;
  std::uint32_t c;

  void mix() {
    a -= c, a ^= std::rotl(c, 4), c += b;
    b -= a, b ^= std::rotl(a, 6), a += c;
    c -= b, c ^= std::rotl(b, 8), b += a;
    a -= c, a ^= std::rotl(c, 16), c += b;
    b -= a, b ^= std::rotl(a, 19), a += c;
    c -= b, c ^= std::rotl(b, 4), b += a;
  }
  void finish() {
    c ^= b, c -= std::rotl(b, 14);
    a ^= c, a -= std::rotl(c, 11);
    b ^= a, b -= std::rotl(a, 25);
    c ^= b, c -= std::rotl(b, 16);
    a ^= c, a -= std::rotl(c, 4);
    b ^= a, b -= std::rotl(a, 14);
    c ^= b, c -= std::rotl(b, 24);
  }
};

}  // namespace

bool is_counted(const ColumnType& type) {
  if (type.kind != TypeKind::kBase) return true;
  switch (type.base.value()) {
    case kBool:
    case kInt8:
    case kInt2:
    case kInt4:
    case kFloat4:
    case kFloat8:
    case 17:    // bytea
    case 26:    // oid
    case 1082:  // date
    case 1083:  // time
    case 1114:  // timestamp
    case 1184:  // timestamptz
    case 1186:  // interval
    case 1266:  // timetz
    case 1700:  // numeric
    case 2950:  // uuid
      return false;
    default: return true;
  }
}

bool is_floating(const ColumnType& type) {
  return type.kind == TypeKind::kBase && (type.base.value() == kFloat4 || type.base.value() == kFloat8);
}

std::uint64_t hash_text(ByteView text) {
  const auto length = static_cast<std::uint32_t>(text.size());
  const std::uint32_t start = 0x9e3779b9U + length + 3923095U;
  Mixer state{start, start, start};
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint32_t words[3];
  for (; left >= sizeof words; at += sizeof words, left -= sizeof words) {
    std::memcpy(words, at, sizeof words);
    state.a += words[0];
    state.b += words[1];
    state.c += words[2];
    state.mix();
  }
  // The lowest byte of the third word is left to the length.
  unsigned char rest[12] = {};
  for (std::size_t n = 0; n < left; ++n) rest[n < 8 ? n : n + 1] = static_cast<unsigned char>(at[n]);
  std::memcpy(words, rest, sizeof words);
  state.a += words[0];
  state.b += words[1];
  state.c += words[2];
  state.finish();
  return static_cast<std::uint64_t>(state.b) << 32 | state.c;
}

bool has_integer_key(const Relation& relation) {
  const std::vector<std::size_t> key = relation.match_key();
  if (key.empty()) return false;
  const ColumnType& type = relation.columns[key.front()].type;
  const std::uint32_t oid = type.base.value();
  return type.kind == TypeKind::kBase && (oid == kInt8 || oid == kInt4 || oid == kInt2);
}

}  // namespace tailrace
