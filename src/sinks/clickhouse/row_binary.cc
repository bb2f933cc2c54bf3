#include "sinks/clickhouse/row_binary.h"

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "formats/row_json.h"
#include "formats/value_text.h"

namespace tailrace::clickhouse {
namespace {

using formats::Int128;

constexpr const char* kNoNumber = "a number is outside of the column's type at the target, or has more digits";
constexpr const char* kNoTime = "a date or time is outside of the column's type at the target";
constexpr const char* kNotOfType = "a value is not of its column's type";

constexpr std::int32_t kFirstDay = -25567;  // 1900-01-01
constexpr std::int32_t kLastDay = 120529;   // 2299-12-31
constexpr std::int64_t kMicrosPerDay = 86'400'000'000;
constexpr std::int64_t kFirstMicro = kFirstDay * kMicrosPerDay;
constexpr std::int64_t kLastMicro = (kLastDay + 1) * kMicrosPerDay - 1;
/// With nine digits, 64 bits end in the year 2262.
constexpr std::int64_t kLastMicroOfNine = 9'223'372'036'854'775;

template <typename T>
const char* append_checked(std::int64_t value, std::string& out) {
  if (!std::in_range<T>(value)) return kNoNumber;
  append_number(static_cast<T>(value), out);
  return nullptr;
}

const char* append_integer(Origin origin, const TargetType& target, ByteView text, std::string& out) {
  std::int64_t value = 0;
  if (origin == Origin::kBool) {
    bool truth = false;
    if (!formats::parse_bool(text, truth)) return kNotOfType;
    value = truth ? 1 : 0;
  } else if (origin == Origin::kNumeric) {
    Int128 wide = 0;
    if (!formats::parse_decimal(text, 38, 0, wide)) return kNoNumber;
    if (target.form == Form::kUInt && target.size == 8) {
      if (wide < 0 || wide >> 64 != 0) return kNoNumber;
      append_number(static_cast<std::uint64_t>(wide), out);
      return nullptr;
    }
    value = static_cast<std::int64_t>(wide);
    if (value != wide) return kNoNumber;
  } else if (!formats::parse_int(text, value)) {
    return kNotOfType;
  }
  const bool is_signed = target.form == Form::kInt;
  switch (target.size) {
    case 1: return is_signed ? append_checked<std::int8_t>(value, out) : append_checked<std::uint8_t>(value, out);
    case 2: return is_signed ? append_checked<std::int16_t>(value, out) : append_checked<std::uint16_t>(value, out);
    case 4: return is_signed ? append_checked<std::int32_t>(value, out) : append_checked<std::uint32_t>(value, out);
    default: return is_signed ? append_checked<std::int64_t>(value, out) : append_checked<std::uint64_t>(value, out);
  }
}

/// A number of 256 bits, least significant part first.
using Wide = std::array<std::uint64_t, 4>;

void times_ten_plus(Wide& number, unsigned digit) {
  unsigned __int128 carry = digit;
  for (std::uint64_t& part : number) {
    carry += static_cast<unsigned __int128>(part) * 10;
    part = static_cast<std::uint64_t>(carry);
    carry >>= 64;
  }
}

void negate(Wide& number) {
  bool carry = true;
  for (std::uint64_t& part : number) {
    part = ~part + (carry ? 1 : 0);
    carry = carry && part == 0;
  }
}

/// The value times 10^scale; false where the type has no room for it, and for NaN and infinities.
bool parse_wide(ByteView text, int width, int scale, Wide& out) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  int digits = 0;
  int behind = -1;
  const auto add = [&](unsigned digit) {
    if ((digits > 0 || digit != 0) && ++digits > width) return false;
    times_ten_plus(out, digit);
    return true;
  };
  for (const char c : text) {
    if (c == '.' && behind < 0) {
      behind = 0;
      continue;
    }
    const auto digit = static_cast<unsigned>(c - '0');
    if (digit > 9) return false;
    if (behind == scale) {
      if (digit != 0) return false;
      continue;
    }
    if (!add(digit)) return false;
    if (behind >= 0) ++behind;
  }
  for (int n = std::max(behind, 0); n < scale; ++n)
    if (!add(0)) return false;
  if (negative) negate(out);
  return !text.empty();
}

const char* append_decimal(const TargetType& target, ByteView text, std::string& out) {
  if (target.size == 32) {
    Wide wide{};
    if (!parse_wide(text, target.width, target.scale, wide)) return kNoNumber;
    append_number(wide, out);
    return nullptr;
  }
  Int128 value = 0;
  if (!formats::parse_decimal(text, target.width, target.scale, value)) return kNoNumber;
  if (target.size == 4) append_number(static_cast<std::int32_t>(value), out);
  if (target.size == 8) append_number(static_cast<std::int64_t>(value), out);
  if (target.size == 16) append_number(value, out);
  return nullptr;
}

std::int64_t floor_divide(std::int64_t value, std::int64_t by) { return value / by - (value % by < 0 ? 1 : 0); }

const char* append_time(const TargetType& target, ByteView text, std::string& out) {
  std::int64_t micros = 0;
  if (!formats::parse_timestamp(text, micros)) return kNoTime;
  if (target.form == Form::kDateTime)
    return append_checked<std::uint32_t>(floor_divide(micros, 1'000'000), out) == nullptr ? nullptr : kNoTime;
  if (micros < kFirstMicro || micros > (target.scale == 9 ? kLastMicroOfNine : kLastMicro)) return kNoTime;
  // More digits than the column has are cut off, which is what its owner asked for.
  for (int scale = 6; scale < target.scale; ++scale) micros *= 10;
  for (int scale = 6; scale > target.scale; --scale) micros = floor_divide(micros, 10);
  append_number(micros, out);
  return nullptr;
}

const char* append_date(const TargetType& target, ByteView text, std::string& out) {
  std::int32_t days = 0;
  if (!formats::parse_date(text, days)) return kNoTime;
  if (target.form == Form::kDate) return append_checked<std::uint16_t>(days, out) == nullptr ? nullptr : kNoTime;
  if (days < kFirstDay || days > kLastDay) return kNoTime;
  append_number(days, out);
  return nullptr;
}

const char* append_uuid(ByteView text, std::string& out) {
  unsigned __int128 value = 0;
  if (!formats::parse_uuid(text, value)) return kNotOfType;
  append_number(static_cast<std::uint64_t>(value >> 64), out);
  append_number(static_cast<std::uint64_t>(value), out);
  return nullptr;
}

template <typename T, bool (*kParse)(ByteView, T&)>
const char* append_parsed(ByteView text, std::string& out) {
  T value{};
  if (!kParse(text, value)) return kNotOfType;
  append_number(value, out);
  return nullptr;
}

/// "1900" to "2299" in front of a dash, whatever follows.
bool has_year_in_range(ByteView text) {
  if (text.size() < 10 || text[4] != '-' || text.back() == 'C') return false;
  const int year = (text[0] - '0') * 1000 + (text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0');
  return year >= 1900 && year <= 2299;
}

}  // namespace

void append_size(std::uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void append_text(ByteView text, std::string& out) {
  append_size(text.size(), out);
  out.append(text);
}

Cell::Cell(const ColumnType& source, const TargetType& target, bool in_key)
    : source_(source),
      target_(target),
      origin_(origin_of(source)),
      in_key_(in_key),
      holds_all_(clickhouse::holds_all(source, target)) {
  const auto shape = origin_ == Origin::kNumeric ? decimal_shape(source.base_typmod) : std::nullopt;
  digits_suffice_ = shape && target.form == Form::kDecimal && shape->scale <= target.scale &&
                    shape->width - shape->scale <= target.width - target.scale;
}

const char* Cell::append(ByteView text, std::string& out) const {
  if (target_.array) return append_array(text, out);
  if (target_.nullable) out.push_back('\0');
  return append_scalar(origin_, text, out);
}

const char* Cell::append_scalar(Origin origin, ByteView text, std::string& out) const {
  switch (target_.form) {
    case Form::kBool: return append_parsed<bool, formats::parse_bool>(text, out);
    case Form::kInt:
    case Form::kUInt: return append_integer(origin, target_, text, out);
    case Form::kFloat: return append_parsed<float, formats::parse_float>(text, out);
    case Form::kDouble: return append_parsed<double, formats::parse_double>(text, out);
    case Form::kDecimal: return append_decimal(target_, text, out);
    case Form::kUuid: return append_uuid(text, out);
    case Form::kDate:
    case Form::kDate32: return append_date(target_, text, out);
    case Form::kDateTime:
    case Form::kDateTime64: return append_time(target_, text, out);
    case Form::kString:
    case Form::kFixedString: break;
  }
  if (origin == Origin::kArray) {
    std::string json;
    formats::append_json_value(source_, text, json);
    append_text(json, out);
    return nullptr;
  }
  if (origin != Origin::kBytea) return append_string(text, out);
  std::size_t size = 0;
  if (!formats::bytea_size(text, size)) return kNotOfType;
  std::string bytes(size, '\0');
  if (!formats::decode_bytea(text, bytes.data())) return kNotOfType;
  return append_string(bytes, out);
}

const char* Cell::append_string(ByteView text, std::string& out) const {
  if (target_.form == Form::kString) {
    append_text(text, out);
    return nullptr;
  }
  if (text.size() > target_.size) return "a text is longer than the FixedString at the target";
  out.append(text);
  out.append(target_.size - text.size(), '\0');
  return nullptr;
}

const char* Cell::append_array(ByteView text, std::string& out) const {
  formats::ArrayReader array(text, source_.delimiter);
  if (!array.open()) return "an array has bounds of its own, which the target cannot hold";
  const Origin origin = element_origin(source_);
  std::string elements;
  std::vector<char> scratch;
  std::uint64_t count = 0;
  while (true) {
    ByteView value;
    const auto step = array.next(value, scratch);
    if (step == formats::ArrayReader::Step::kRefused) return "an array has several dimensions";
    if (step == formats::ArrayReader::Step::kEnd) break;
    ++count;
    const bool is_null = step == formats::ArrayReader::Step::kNull;
    if (is_null && !target_.nullable) return "an array has a NULL in it, which the column at the target cannot hold";
    if (target_.nullable) elements.push_back(is_null ? '\1' : '\0');
    if (is_null) continue;
    if (const char* reason = append_scalar(origin, value, elements)) return reason;
  }
  append_size(count, out);
  out += elements;
  return nullptr;
}

void Cell::append_nothing(std::string& out) const {
  if (target_.array || target_.form == Form::kString) {
    out.push_back(may_be_null() ? '\1' : '\0');
  } else if (target_.nullable) {
    append_null(out);
  } else {
    out.append(target_.size, '\0');
  }
}

bool Cell::surely_held(ByteView text) const {
  if (target_.form == Form::kDate32 || (target_.form == Form::kDateTime64 && target_.scale < 9))
    return !target_.array && has_year_in_range(text);
  // NaN and infinities end with a letter.
  return digits_suffice_ && !text.empty() && text.back() <= '9';
}

const char* Cell::refusal_of(ByteView text) const {
  if (in_key_ && text == "NaN" && (target_.form == Form::kFloat || target_.form == Form::kDouble))
    return "the key of the row is no number (NaN), by which rows are not found again";
  if (holds_all_ || surely_held(text)) return nullptr;
  std::string ignored;
  return append(text, ignored);
}

}  // namespace tailrace::clickhouse
