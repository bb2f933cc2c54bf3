#include "sinks/duckdb/postgres_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

#include "base/bytes.h"
#include "formats/value_text.h"

namespace tailrace::duckdb {
namespace {

using formats::Int128;

constexpr std::int64_t kMicrosPerSecond = 1000000;
constexpr std::int64_t kMicrosPerDay = 86400 * kMicrosPerSecond;

template <typename T>
T value_at(duckdb_vector vector, idx_t row) {
  return static_cast<const T*>(duckdb_vector_get_data(vector))[row];
}

ByteView bytes_at(duckdb_vector vector, idx_t row) {
  auto* text = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector)) + row;
  return {duckdb_string_t_data(text), duckdb_string_t_length(*text)};
}

Int128 wide(duckdb_hugeint value) { return static_cast<Int128>(value.upper) << 64 | value.lower; }

void append_digits(unsigned __int128 value, std::string& out) {
  char digits[40];
  char* at = std::end(digits);
  do {
    *--at = static_cast<char>('0' + static_cast<int>(value % 10));
    value /= 10;
  } while (value != 0);
  out.append(at, std::end(digits));
}

void append_decimal(Int128 value, int scale, std::string& out) {
  if (value < 0) out += '-';
  std::string digits;
  append_digits(value < 0 ? 0 - static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value), digits);
  const auto places = static_cast<std::size_t>(scale);
  if (digits.size() <= places) digits.insert(0, places + 1 - digits.size(), '0');
  out.append(digits, 0, digits.size() - places);
  if (places == 0) return;
  out += '.';
  out.append(digits, digits.size() - places);
}

/// `digits` without point and zeros at their end, the first one standing for 10^exponent. Within the bounds the number
/// is written out, as src/common/d2s.c and f2s.c do.
void append_shortest(std::string_view digits, int exponent, int out_from, std::string& out) {
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= out_from) {
    out += digits.front();
    if (count > 1) out += '.';
    out += digits.substr(1);
    fmt::format_to(std::back_inserter(out), "e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  } else if (exponent < 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-exponent - 1), '0');
    out += digits;
  } else if (exponent + 1 >= count) {
    out += digits;
    out.append(static_cast<std::size_t>(exponent + 1 - count), '0');
  } else {
    const auto whole = static_cast<std::size_t>(exponent) + 1;
    out += digits.substr(0, whole);
    out += '.';
    out += digits.substr(whole);
  }
}

template <typename T>
void append_floating(T value, int out_from, std::string& out) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value < 0 ? "-Infinity" : "Infinity";
  } else if (value == 0) {
    out += '0';
  } else {
    char text[40];
    const auto end = std::to_chars(text, std::end(text), std::abs(value), std::chars_format::scientific).ptr;
    const char* e = std::find(text, end, 'e');
    int exponent = 0;
    std::from_chars(e[1] == '+' ? e + 2 : e + 1, end, exponent);
    std::string digits(static_cast<const char*>(text), e);
    std::erase(digits, '.');
    digits.erase(digits.find_last_not_of('0') + 1);
    if (value < 0) out += '-';
    append_shortest(digits, exponent, out_from, out);
  }
}

/// "HH:MM:SS" and, where it is not zero, the fraction without zeros at its end.
void append_clock(std::uint64_t micros, std::string& out) {
  const std::uint64_t seconds = micros / kMicrosPerSecond;
  fmt::format_to(std::back_inserter(out), "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  if (const std::uint64_t fraction = micros % kMicrosPerSecond; fraction != 0) {
    fmt::format_to(std::back_inserter(out), ".{:06}", fraction);
    out.erase(out.find_last_not_of('0') + 1);
  }
}

/// Gives whether " BC" belongs to the end (H. Hinnant, "chrono-compatible low-level date algorithms").
bool append_civil(std::int64_t days, std::string& out) {
  days += 719468;
  const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const std::int64_t day_of_era = days - era * 146097;
  const std::int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted = (5 * day_of_year + 2) / 153;
  const std::int64_t day = day_of_year - (153 * shifted + 2) / 5 + 1;
  const std::int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  const std::int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}", year > 0 ? year : 1 - year, month, day);
  return year <= 0;
}

template <typename T>
bool append_infinity(T value, std::string& out) {
  if (value != std::numeric_limits<T>::max() && value != -std::numeric_limits<T>::max()) return false;
  out += value < 0 ? "-infinity" : "infinity";
  return true;
}

void append_date(std::int32_t days, std::string& out) {
  if (append_infinity(days, out)) return;
  if (append_civil(days, out)) out += " BC";
}

void append_offset(std::int32_t seconds, std::string& out) {
  const int size = std::abs(seconds);
  fmt::format_to(std::back_inserter(out), "{}{:02}", seconds < 0 ? '-' : '+', size / 3600);
  if (size % 3600 != 0) fmt::format_to(std::back_inserter(out), ":{:02}", size / 60 % 60);
  if (size % 60 != 0) fmt::format_to(std::back_inserter(out), ":{:02}", size % 60);
}

/// DuckDB keeps microseconds in the upper 40 bits and, below, how far the offset is from the easternmost.
void append_timetz(std::uint64_t bits, std::string& out) {
  constexpr std::int32_t kWidest = 16 * 3600 - 1;
  append_clock(bits >> 24, out);
  append_offset(kWidest - static_cast<std::int32_t>(bits & 0xffffff), out);
}

void append_hex(ByteView bytes, std::string& out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
}

void append_uuid(duckdb_hugeint stored, std::string& out) {
  const auto value = static_cast<unsigned __int128>(wide(stored)) ^ (static_cast<unsigned __int128>(1) << 127);
  char bytes[16];
  for (int n = 0; n < 16; ++n) bytes[n] = static_cast<char>(value >> (120 - 8 * n));
  std::string hex;
  append_hex({bytes, sizeof bytes}, hex);
  for (const int place : {8, 13, 18, 23}) hex.insert(static_cast<std::size_t>(place), 1, '-');
  out += hex;
}

void append_scalar(const TargetType& type, duckdb_vector vector, idx_t row, std::string& out) {
  switch (type.shape) {
    case Shape::kBool: out += value_at<bool>(vector, row) ? 't' : 'f'; return;
    case Shape::kInt16: out += std::to_string(value_at<std::int16_t>(vector, row)); return;
    case Shape::kInt32: out += std::to_string(value_at<std::int32_t>(vector, row)); return;
    case Shape::kInt64: out += std::to_string(value_at<std::int64_t>(vector, row)); return;
    case Shape::kUInt32: out += std::to_string(value_at<std::uint32_t>(vector, row)); return;
    case Shape::kFloat: append_float(value_at<float>(vector, row), out); return;
    case Shape::kDouble: append_float(value_at<double>(vector, row), out); return;
    case Shape::kDecimal16: append_decimal(value_at<std::int16_t>(vector, row), type.scale, out); return;
    case Shape::kDecimal32: append_decimal(value_at<std::int32_t>(vector, row), type.scale, out); return;
    case Shape::kDecimal64: append_decimal(value_at<std::int64_t>(vector, row), type.scale, out); return;
    case Shape::kDecimal128: append_decimal(wide(value_at<duckdb_hugeint>(vector, row)), type.scale, out); return;
    case Shape::kVarchar:
    case Shape::kJson: out += bytes_at(vector, row); return;
    case Shape::kBlob:
      out += "\\x";
      append_hex(bytes_at(vector, row), out);
      return;
    case Shape::kUuid: append_uuid(value_at<duckdb_hugeint>(vector, row), out); return;
    case Shape::kDate: append_date(value_at<std::int32_t>(vector, row), out); return;
    case Shape::kTime: append_clock(static_cast<std::uint64_t>(value_at<std::int64_t>(vector, row)), out); return;
    case Shape::kTimeTz: append_timetz(value_at<std::uint64_t>(vector, row), out); return;
    case Shape::kTimestamp: append_timestamp(value_at<std::int64_t>(vector, row), false, out); return;
    case Shape::kTimestampTz: append_timestamp(value_at<std::int64_t>(vector, row), true, out); return;
    case Shape::kInterval: append_interval(value_at<duckdb_interval>(vector, row), out); return;
  }
}

/// As array_out() writes an element: in quotes where it could be taken for anything else.
void append_element(std::string_view text, char delimiter, std::string& out) {
  const auto special = [&](char c) {
    return c == '"' || c == '\\' || c == '{' || c == '}' || c == delimiter || c == ' ' || (c >= '\t' && c <= '\r');
  };
  const auto lower = [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); };
  const bool null = text.size() == 4 && std::ranges::equal(text, std::string_view("null"), {}, lower);
  if (!text.empty() && !null && std::ranges::none_of(text, special)) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

void append_list(const TargetType& type, duckdb_vector vector, idx_t row, std::string& out) {
  const auto entry = value_at<duckdb_list_entry>(vector, row);
  duckdb_vector child = duckdb_list_vector_get_child(vector);
  std::string element;
  out += '{';
  for (idx_t n = 0; n < entry.length; ++n) {
    if (n > 0) out += type.delimiter;
    if (!is_valid(child, entry.offset + n)) {
      out += "NULL";
      continue;
    }
    element.clear();
    append_scalar(type, child, entry.offset + n, element);
    append_element(element, type.delimiter, out);
  }
  out += '}';
}

}  // namespace

bool is_valid(duckdb_vector vector, idx_t row) {
  std::uint64_t* validity = duckdb_vector_get_validity(vector);
  return validity == nullptr || duckdb_validity_row_is_valid(validity, row);
}

void append_postgres_text(const TargetType& type, duckdb_vector vector, idx_t row, std::string& out) {
  if (type.list) {
    append_list(type, vector, row, out);
  } else {
    append_scalar(type, vector, row, out);
  }
}

void append_float(double value, std::string& out) { append_floating(value, 15, out); }
void append_float(float value, std::string& out) { append_floating(value, 6, out); }

void append_timestamp(std::int64_t unix_micros, bool with_zone, std::string& out) {
  if (append_infinity(unix_micros, out)) return;
  const std::int64_t days = (unix_micros >= 0 ? unix_micros : unix_micros - (kMicrosPerDay - 1)) / kMicrosPerDay;
  const bool before_christ = append_civil(days, out);
  out += ' ';
  append_clock(static_cast<std::uint64_t>(unix_micros - days * kMicrosPerDay), out);
  if (with_zone) out += "+00";
  if (before_christ) out += " BC";
}

/// As EncodeInterval() writes it under IntervalStyle postgres.
void append_interval(duckdb_interval value, std::string& out) {
  const std::size_t begin = out.size();
  bool before = false;
  const auto part = [&](std::int32_t amount, const char* unit) {
    if (amount == 0) return;
    fmt::format_to(std::back_inserter(out), "{}{}{} {}{}", out.size() == begin ? "" : " ",
                   before && amount > 0 ? "+" : "", amount, unit, amount == 1 ? "" : "s");
    before = amount < 0;
  };
  part(value.months / 12, "year");
  part(value.months % 12, "mon");
  part(value.days, "day");
  if (out.size() != begin && value.micros == 0) return;
  if (out.size() != begin) out += ' ';
  if (value.micros < 0) {
    out += '-';
  } else if (before) {
    out += '+';
  }
  append_clock(
      value.micros < 0 ? 0 - static_cast<std::uint64_t>(value.micros) : static_cast<std::uint64_t>(value.micros), out);
}

}  // namespace tailrace::duckdb
