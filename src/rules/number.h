#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tailrace::rules {

/// A number as its text says it, exact however long it is: what PostgreSQL prints of integers, numeric and floats. A
/// value; no number (NaN) is not one of them.
class Number {
 public:
  /// Nothing for what is no number.
  static std::optional<Number> parse(std::string_view text);

  std::strong_ordering operator<=>(const Number& other) const;
  bool operator==(const Number& other) const = default;

 private:
  std::strong_ordering compare_size(const Number& other) const;

  int sign_ = 0;
  /// The value is 0.DIGITS times ten to this; of infinity the greatest there is.
  std::int64_t exponent_ = 0;
  /// Without zeros at either end.
  std::string digits_;
};

}  // namespace tailrace::rules
