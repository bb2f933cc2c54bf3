#include "rules/number.h"

#include <charconv>
#include <limits>
#include <system_error>

namespace tailrace::rules {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<Number> Number::parse(std::string_view text) {
  Number number;
  number.sign_ = text.starts_with('-') ? -1 : 1;
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text == "Infinity") {
    number.exponent_ = std::numeric_limits<std::int64_t>::max();
    return number;
  }
  std::int64_t exponent = 0;
  if (const std::size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    std::string_view power = text.substr(e + 1);
    if (power.starts_with('+')) power.remove_prefix(1);
    std::int32_t value = 0;
    const auto [end, failed] = std::from_chars(power.data(), power.data() + power.size(), value);
    if (power.empty() || failed != std::errc() || end != power.data() + power.size()) return std::nullopt;
    exponent = value;
    text = text.substr(0, e);
  }
  bool fraction = false;
  bool any = false;
  for (const char c : text) {
    if (c == '.' && !fraction) {
      fraction = true;
      continue;
    }
    if (!is_digit(c)) return std::nullopt;
    any = true;
    const bool leading = number.digits_.empty() && c == '0';
    if (!leading) number.digits_ += c;
    if (!fraction && !leading) ++number.exponent_;
    if (fraction && leading) --number.exponent_;
  }
  if (!any) return std::nullopt;
  while (number.digits_.ends_with('0')) number.digits_.pop_back();
  if (number.digits_.empty()) return Number();
  number.exponent_ += exponent;
  return number;
}

std::strong_ordering Number::compare_size(const Number& other) const {
  if (const auto order = exponent_ <=> other.exponent_; order != 0) return order;
  return digits_.compare(other.digits_) <=> 0;
}

std::strong_ordering Number::operator<=>(const Number& other) const {
  if (const auto order = sign_ <=> other.sign_; order != 0) return order;
  return sign_ < 0 ? other.compare_size(*this) : compare_size(other);
}

}  // namespace tailrace::rules
