#include "config/quantity.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace tailrace::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 9> kSizes = {{{"TiB", 1ULL << 40},
                                         {"GiB", 1ULL << 30},
                                         {"MiB", 1ULL << 20},
                                         {"KiB", 1ULL << 10},
                                         {"TB", 1'000'000'000'000ULL},
                                         {"GB", 1'000'000'000ULL},
                                         {"MB", 1'000'000ULL},
                                         {"kB", 1'000ULL},
                                         {"B", 1ULL}}};
constexpr std::array<Unit, 5> kDurations = {
    {{"d", 86'400'000ULL}, {"h", 3'600'000ULL}, {"m", 60'000ULL}, {"s", 1'000ULL}, {"ms", 1ULL}}};

/// Takes digits and a unit's letters from the front.
bool take_number(std::string_view& text, std::uint64_t& number, std::string_view& unit) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  std::size_t letters = 0;
  while (letters < text.size() && (text[letters] < '0' || text[letters] > '9')) ++letters;
  unit = text.substr(0, letters);
  text.remove_prefix(letters);
  return true;
}

bool same_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if ((a[i] | 0x20) != (b[i] | 0x20)) return false;
  }
  return true;
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t number = 0;
  std::string_view name;
  if (!take_number(text, number, name) || !text.empty()) return std::nullopt;
  if (name.empty()) return number;
  for (const Unit& unit : kSizes) {
    if (!same_ignoring_case(unit.name, name)) continue;
    if (number > std::numeric_limits<std::uint64_t>::max() / unit.factor) return std::nullopt;
    return number * unit.factor;
  }
  return std::nullopt;
}

std::string print_size(std::uint64_t bytes) {
  for (const Unit& unit : kSizes) {
    if (bytes >= unit.factor && bytes % unit.factor == 0) return fmt::format("{}{}", bytes / unit.factor, unit.name);
  }
  return "0";
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return std::chrono::milliseconds(0);
  constexpr std::uint64_t kLongest = 1000ULL * 365 * 86'400'000;
  std::uint64_t sum = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    std::uint64_t number = 0;
    std::string_view name;
    if (!take_number(text, number, name)) return std::nullopt;
    const Unit* found = nullptr;
    for (const Unit& unit : kDurations) {
      if (unit.name == name) found = &unit;
    }
    if (found == nullptr || number > kLongest / found->factor) return std::nullopt;
    sum += number * found->factor;
    if (sum > kLongest) return std::nullopt;
  }
  return std::chrono::milliseconds(sum);
}

std::string print_duration(std::chrono::milliseconds duration) {
  auto left = static_cast<std::uint64_t>(duration.count());
  std::string text;
  for (const Unit& unit : kDurations) {
    if (left < unit.factor || (unit.name == "d" && left % unit.factor != 0)) continue;
    text += fmt::format("{}{}", left / unit.factor, unit.name);
    left %= unit.factor;
  }
  return text.empty() ? "0" : text;
}

}  // namespace tailrace::config
