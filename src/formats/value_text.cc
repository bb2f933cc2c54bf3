#include "formats/value_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

namespace tailrace::formats {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1000000;
constexpr std::int64_t kMicrosPerDay = 86400 * kMicrosPerSecond;
constexpr std::int64_t kInfinity64 = std::numeric_limits<std::int64_t>::max();
constexpr std::int32_t kInfinity32 = std::numeric_limits<std::int32_t>::max();

bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

constexpr std::array<std::int8_t, 256> kHexDigits = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t n = 0; n < kDigits.size(); ++n)
    values[static_cast<unsigned char>(kDigits[n])] = static_cast<std::int8_t>(n);
  return values;
}();

/// The value of a lower-case digit as PostgreSQL writes them, negative for anything else.
int hex_digit(char c) { return kHexDigits[static_cast<unsigned char>(c)]; }

/// Reads forward through a text; every step says whether it succeeded.
class Scanner {
 public:
  explicit Scanner(ByteView text) : at_(text.data()), end_(text.data() + text.size()) {}

  bool done() const { return at_ == end_; }
  char peek() const { return at_ == end_ ? '\0' : *at_; }
  bool take(char c) {
    if (peek() != c || done()) return false;
    ++at_;
    return true;
  }
  bool take(ByteView word) {
    if (static_cast<std::size_t>(end_ - at_) < word.size()) return false;
    if (std::memcmp(at_, word.data(), word.size()) != 0) return false;
    at_ += word.size();
    return true;
  }
  bool two(int& out) {
    if (end_ - at_ < 2 || !is_digit(at_[0]) || !is_digit(at_[1])) return false;
    out = (at_[0] - '0') * 10 + (at_[1] - '0');
    at_ += 2;
    return true;
  }
  /// One to eighteen digits.
  bool number(std::int64_t& out) {
    const char* from = at_;
    std::int64_t value = 0;
    while (at_ != end_ && is_digit(*at_) && at_ - from < 18) value = value * 10 + (*at_++ - '0');
    out = value;
    return at_ != from;
  }
  /// ".5" as microseconds: 500000. Nothing there is zero.
  bool fraction(std::int64_t& micros) {
    micros = 0;
    if (!take('.')) return true;
    int digits = 0;
    for (; at_ != end_ && is_digit(*at_); ++at_, ++digits)
      if (digits < 6) micros = micros * 10 + (*at_ - '0');
    for (int n = digits; n < 6; ++n) micros *= 10;
    return digits > 0 && digits <= 6;
  }
  ByteView word() {
    const char* from = at_;
    while (at_ != end_ && *at_ >= 'a' && *at_ <= 'z') ++at_;
    return {from, static_cast<std::size_t>(at_ - from)};
  }

 private:
  const char* at_;
  const char* end_;
};

/// Days since 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible low-level date
/// algorithms").
std::int64_t days_from_civil(std::int64_t year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

struct Civil {
  std::int64_t year = 0;
  int month = 0;
  int day = 0;
};

bool read_civil(Scanner& in, Civil& out) {
  return in.number(out.year) && in.take('-') && in.two(out.month) && in.take('-') && in.two(out.day) &&
         out.month >= 1 && out.month <= 12 && out.day >= 1 && out.day <= 31 && out.year <= 6000000;
}

bool read_clock(Scanner& in, std::int64_t& micros) {
  int hours = 0;
  int minutes = 0;
  int seconds = 0;
  std::int64_t fraction = 0;
  if (!in.two(hours) || !in.take(':') || !in.two(minutes) || !in.take(':') || !in.two(seconds)) return false;
  if (!in.fraction(fraction)) return false;
  micros = (hours * 3600LL + minutes * 60LL + seconds) * kMicrosPerSecond + fraction;
  return micros <= kMicrosPerDay;
}

/// "+05", "-03:30", "+01:02:03": seconds east of UTC.
bool read_offset(Scanner& in, std::int32_t& seconds) {
  const bool west = in.peek() == '-';
  if (!in.take('-') && !in.take('+')) return false;
  int hours = 0;
  int minutes = 0;
  int rest = 0;
  if (!in.two(hours)) return false;
  if (in.take(':') && !in.two(minutes)) return false;
  if (in.take(':') && !in.two(rest)) return false;
  seconds = (hours * 3600 + minutes * 60 + rest) * (west ? -1 : 1);
  return true;
}

}  // namespace

bool parse_bool(ByteView text, bool& out) {
  if (text.size() != 1) return false;
  out = text[0] == 't';
  return out || text[0] == 'f';
}

bool parse_int(ByteView text, std::int64_t& out) {
  // Of the usual lengths digits are added up faster than the library does it.
  const std::size_t sign = !text.empty() && text[0] == '-' ? 1 : 0;
  if (text.size() > sign && text.size() - sign <= std::numeric_limits<std::int64_t>::digits10) {
    std::int64_t value = 0;
    for (const char c : text.substr(sign)) {
      if (!is_digit(c)) return false;
      value = value * 10 + (c - '0');
    }
    out = sign == 1 ? -value : value;
    return true;
  }
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  return error == std::errc{} && stop == end;
}

template <typename T>
static bool parse_floating(ByteView text, T& out) {
  if (text == "NaN") {
    out = std::numeric_limits<T>::quiet_NaN();
    return true;
  }
  if (text == "Infinity" || text == "-Infinity") {
    out = text[0] == '-' ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
    return true;
  }
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  return error == std::errc{} && stop == end;
}

bool parse_float(ByteView text, float& out) { return parse_floating(text, out); }
bool parse_double(ByteView text, double& out) { return parse_floating(text, out); }

/// `Number`: has room for `width` digits.
template <typename Number>
static bool parse_digits(ByteView text, int width, int scale, Number& out) {
  const bool negative = !text.empty() && text[0] == '-';
  std::size_t at = negative ? 1 : 0;
  Number value = 0;
  int digits = 0;
  // Counted before it is added: so many digits are all that the number has room for.
  const auto add = [&](int digit) {
    if ((value != 0 || digit != 0) && ++digits > width) return false;
    value = value * 10 + digit;
    return true;
  };
  int fraction = -1;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '.' && fraction < 0) {
      fraction = 0;
      continue;
    }
    if (!is_digit(c)) return false;
    if (fraction >= scale) {
      if (c != '0') return false;
      continue;
    }
    if (!add(c - '0')) return false;
    if (fraction >= 0) ++fraction;
  }
  for (int n = std::max(fraction, 0); n < scale; ++n) {
    if (!add(0)) return false;
  }
  out = negative ? -value : value;
  return !text.empty();
}

bool parse_decimal(ByteView text, int width, int scale, Int128& out) {
  if (width > std::numeric_limits<std::int64_t>::digits10) return parse_digits(text, width, scale, out);
  std::int64_t value = 0;
  if (!parse_digits(text, width, scale, value)) return false;
  out = value;
  return true;
}

bool parse_uuid(ByteView text, unsigned __int128& out) {
  if (text.size() != 36) return false;
  // Where the 32 digits stand between the dashes.
  static constexpr std::array<unsigned char, 32> kDigits = {0,  1,  2,  3,  4,  5,  6,  7,  9,  10, 11,
                                                            12, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25,
                                                            26, 27, 28, 29, 30, 31, 32, 33, 34, 35};
  std::array<std::uint64_t, 2> halves{};
  int wrong = 0;
  for (std::size_t n = 0; n < kDigits.size(); ++n) {
    const int digit = hex_digit(text[kDigits[n]]);
    wrong |= digit;
    halves[n / 16] = halves[n / 16] << 4 | static_cast<unsigned>(digit);
  }
  if (wrong < 0 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-') return false;
  out = static_cast<unsigned __int128>(halves[0]) << 64 | halves[1];
  return true;
}

bool parse_date(ByteView text, std::int32_t& days) {
  if (text == "infinity" || text == "-infinity") {
    days = text[0] == '-' ? -kInfinity32 : kInfinity32;
    return true;
  }
  Scanner in(text);
  Civil civil;
  if (!read_civil(in, civil)) return false;
  if (in.take(" BC")) civil.year = 1 - civil.year;
  const std::int64_t value = days_from_civil(civil.year, civil.month, civil.day);
  if (!in.done() || value <= -kInfinity32 || value >= kInfinity32) return false;
  days = static_cast<std::int32_t>(value);
  return true;
}

bool parse_time(ByteView text, std::int64_t& micros) {
  Scanner in(text);
  return read_clock(in, micros) && in.done();
}

bool parse_timetz(ByteView text, std::int64_t& micros, std::int32_t& offset) {
  Scanner in(text);
  constexpr std::int32_t kWidest = 16 * 3600 - 1;
  return read_clock(in, micros) && read_offset(in, offset) && in.done() && offset >= -kWidest && offset <= kWidest;
}

bool parse_timestamp(ByteView text, std::int64_t& micros) {
  if (text == "infinity" || text == "-infinity") {
    micros = text[0] == '-' ? -kInfinity64 : kInfinity64;
    return true;
  }
  Scanner in(text);
  Civil civil;
  std::int64_t clock = 0;
  std::int32_t offset = 0;
  if (!read_civil(in, civil) || !in.take(' ') || !read_clock(in, clock)) return false;
  if ((in.peek() == '+' || in.peek() == '-') && !read_offset(in, offset)) return false;
  if (in.take(" BC")) civil.year = 1 - civil.year;
  if (!in.done()) return false;
  const Int128 value = static_cast<Int128>(days_from_civil(civil.year, civil.month, civil.day)) * kMicrosPerDay +
                       clock - offset * kMicrosPerSecond;
  if (value >= kInfinity64 || value <= -static_cast<Int128>(kInfinity64)) return false;
  micros = static_cast<std::int64_t>(value);
  return true;
}

namespace {

/// "-1 days", "2 mons", "+3 years": adds to `out`. False where the sum leaves PostgreSQL's 32 bits.
bool add_interval_unit(std::int64_t amount, ByteView unit, std::int32_t& months, std::int32_t& days) {
  const bool is_year = unit == "year" || unit == "years";
  const bool is_month = unit == "mon" || unit == "mons";
  if (!is_year && !is_month && unit != "day" && unit != "days") return false;
  std::int32_t& sum = is_year || is_month ? months : days;
  const Int128 value = sum + static_cast<Int128>(amount) * (is_year ? 12 : 1);
  sum = static_cast<std::int32_t>(value);
  return sum == value;
}

/// The rest of "[-]HH:MM:SS[.ffffff]" behind the hours.
bool read_interval_clock(Scanner& in, std::int64_t hours, bool negative, std::int64_t& micros) {
  int minutes = 0;
  int seconds = 0;
  std::int64_t fraction = 0;
  if (!in.two(minutes) || !in.take(':') || !in.two(seconds) || !in.fraction(fraction)) return false;
  const Int128 value = (static_cast<Int128>(hours) * 3600 + minutes * 60 + seconds) * kMicrosPerSecond + fraction;
  const Int128 wanted = negative ? -value : value;
  micros = static_cast<std::int64_t>(wanted);
  return wanted == micros;
}

}  // namespace

bool parse_interval(ByteView text, IntervalValue& out) {
  Scanner in(text);
  IntervalValue value;
  while (!in.done()) {
    const bool negative = in.peek() == '-';
    if (negative || in.peek() == '+') in.take(in.peek());
    std::int64_t amount = 0;
    if (!in.number(amount)) return false;
    if (in.take(':')) {
      if (!read_interval_clock(in, amount, negative, value.micros) || !in.done()) return false;
      break;
    }
    if (!in.take(' ')) return false;
    if (!add_interval_unit(negative ? -amount : amount, in.word(), value.months, value.days)) return false;
    if (!in.done() && !in.take(' ')) return false;
  }
  out = value;
  return !text.empty();
}

bool bytea_size(ByteView text, std::size_t& size) {
  if (text.size() < 2 || text[0] != '\\' || text[1] != 'x' || text.size() % 2 != 0) return false;
  size = text.size() / 2 - 1;
  return true;
}

bool decode_bytea(ByteView text, char* out) {
  for (std::size_t at = 2; at + 1 < text.size(); at += 2) {
    const int high = hex_digit(text[at]);
    const int low = hex_digit(text[at + 1]);
    if (high < 0 || low < 0) return false;
    *out++ = static_cast<char>(high << 4 | low);
  }
  return true;
}

bool valid_utf8(ByteView text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = at + text.size();
  while (at != end) {
    std::uint64_t eight;
    while (end - at >= 8) {
      std::memcpy(&eight, at, 8);
      if ((eight & 0x8080808080808080ULL) != 0) break;
      at += 8;
    }
    if (at == end) break;
    if (*at < 0x80) {
      ++at;
      continue;
    }
    const int more = *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : 1;
    if (*at < 0xc2 || *at > 0xf4 || end - at <= more) return false;
    const unsigned char second = at[1];
    if ((*at == 0xe0 && second < 0xa0) || (*at == 0xed && second > 0x9f) || (*at == 0xf0 && second < 0x90) ||
        (*at == 0xf4 && second > 0x8f))
      return false;
    for (int n = 1; n <= more; ++n)
      if ((at[n] & 0xc0) != 0x80) return false;
    at += more + 1;
  }
  return true;
}

bool ArrayReader::open() {
  if (text_.size() < 2 || text_.front() != '{' || text_.back() != '}') return false;
  at_ = 1;
  return true;
}

ArrayReader::Step ArrayReader::next(ByteView& value, std::vector<char>& scratch) {
  const std::size_t end = text_.size() - 1;
  if (at_ == end) return first_ || text_[at_ - 1] != delimiter_ ? Step::kEnd : Step::kRefused;
  if (!first_) {
    if (text_[at_] != delimiter_) return Step::kRefused;
    ++at_;
  }
  first_ = false;
  if (at_ == end || text_[at_] == '{') return Step::kRefused;
  if (text_[at_] == '"') return quoted_element(value, scratch);
  const std::size_t from = at_;
  while (at_ != end && text_[at_] != delimiter_) ++at_;
  value = text_.substr(from, at_ - from);
  if (value.empty()) return Step::kRefused;
  return value == "NULL" ? Step::kNull : Step::kValue;
}

ArrayReader::Step ArrayReader::quoted_element(ByteView& value, std::vector<char>& scratch) {
  const std::size_t end = text_.size() - 1;
  scratch.clear();
  for (++at_; at_ < end; ++at_) {
    if (text_[at_] == '"') {
      ++at_;
      value = ByteView(scratch.data(), scratch.size());
      return Step::kValue;
    }
    if (text_[at_] == '\\' && ++at_ >= end) return Step::kRefused;
    scratch.push_back(text_[at_]);
  }
  return Step::kRefused;
}

}  // namespace tailrace::formats
