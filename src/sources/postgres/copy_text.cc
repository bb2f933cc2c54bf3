#include "sources/postgres/copy_text.h"

#include <emmintrin.h>

#include <algorithm>

#include "base/error.h"
#include "base/let_go.h"

namespace tailrace::postgres {
namespace {

[[noreturn]] void malformed(const char* what) {
  throw BadDataError("TR311", std::string("malformed COPY row: ") + what,
                     "the server's or a proxy's bytes are not what PostgreSQL documents; the copy was given up");
}

char* put_be16(char* out, std::uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(out, &value, sizeof value);
  return out + sizeof value;
}

void put_be32(char* out, std::uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(out, &value, sizeof value);
}

/// Moves `in` and `out` over the bytes up to the next tab or backslash, copying them. May write up to 15 bytes more.
void copy_plain(const char*& in, const char* end, char*& out) {
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i backslash = _mm_set1_epi8('\\');
  while (end - in >= 16) {
    __m128i block;
    std::memcpy(&block, in, sizeof block);
    std::memcpy(out, &block, sizeof block);
    const __m128i special = _mm_or_si128(_mm_cmpeq_epi8(block, tab), _mm_cmpeq_epi8(block, backslash));
    const int mask = _mm_movemask_epi8(special);
    if (mask != 0) {
      const int plain = __builtin_ctz(static_cast<unsigned>(mask));
      in += plain;
      out += plain;
      return;
    }
    in += 16;
    out += 16;
  }
  while (in != end && *in != '\t' && *in != '\\') *out++ = *in++;
}

char unescaped(char c) {
  switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    case '\\': return '\\';
    default: malformed("unknown escape");
  }
}

/// copy_plain() that lets go of what it has passed, in both files.
class LongCopy {
 public:
  LongCopy(const char* in, const char* out) : in_(in), out_(out) {}

  void operator()(const char*& in, const char* end, char*& out) {
    while (true) {
      const char* stop = in + std::min<std::ptrdiff_t>(end - in, kWindow);
      copy_plain(in, stop, out);
      if (in - in_ >= kWindow) {
        let_go({in_, static_cast<std::size_t>(in - in_)});
        let_go({out_, static_cast<std::size_t>(out - out_)});
        in_ = in;
        out_ = out;
      }
      if (in != stop || stop == end) return;
    }
  }

 private:
  static constexpr std::ptrdiff_t kWindow = 1 << 20;
  const char* in_;
  const char* out_;
};

/// One field from `in` up to its tab or the end, which is not consumed.
template <typename CopyPlain>
void copy_field(const char*& in, const char* end, char*& out, CopyPlain& copy_plain) {
  if (end - in >= 2 && in[0] == '\\' && in[1] == 'N' && (end - in == 2 || in[2] == '\t')) {
    in += 2;
    *out++ = 'n';
    return;
  }
  *out++ = 't';
  char* const length = out;
  out += 4;
  copy_plain(in, end, out);
  while (in != end && *in == '\\') {
    if (end - in < 2) malformed("it ends inside an escape");
    *out++ = unescaped(in[1]);
    in += 2;
    copy_plain(in, end, out);
  }
  put_be32(length, static_cast<std::uint32_t>(out - length - 4));
}

}  // namespace

template <typename CopyPlain>
char* CopyTextDecoder::decode_with(ByteView line, char* out, CopyPlain copy_plain) const {
  if (line.empty() || line.back() != '\n') malformed("no line feed at its end");
  const char* in = line.data();
  const char* const end = in + line.size() - 1;
  out = put_be16(out, columns_);
  for (std::uint16_t i = 0; i < columns_; ++i) {
    if (i > 0) {
      if (in == end || *in != '\t') malformed("too few columns");
      ++in;
    }
    copy_field(in, end, out, copy_plain);
  }
  if (in != end) malformed("too many columns");
  return out;
}

char* CopyTextDecoder::decode(ByteView line, char* out) const {
  return decode_with(line, out, [](const char*& in, const char* end, char*& to) { copy_plain(in, end, to); });
}

char* CopyTextDecoder::decode_long(ByteView line, char* out) const {
  return decode_with(line, out, LongCopy(line.data(), out));
}

}  // namespace tailrace::postgres
