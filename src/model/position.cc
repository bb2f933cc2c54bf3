#include "model/position.h"

#include <fmt/format.h>

#include <charconv>

namespace tailrace {
namespace {

template <typename Number>
bool parse_whole(std::string_view text, Number& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && stop == end;
}

}  // namespace

std::string Position::str() const { return fmt::format("{}:{}:{}", epoch, commit_end.str(), ordinal); }

std::optional<Position> Position::parse(std::string_view text) {
  const auto first = text.find(':');
  const auto last = text.rfind(':');
  if (first == last) return std::nullopt;
  Position position;
  const auto commit_end = Lsn::parse(text.substr(first + 1, last - first - 1));
  if (!commit_end || !parse_whole(text.substr(0, first), position.epoch) ||
      !parse_whole(text.substr(last + 1), position.ordinal))
    return std::nullopt;
  position.commit_end = *commit_end;
  return position;
}

}  // namespace tailrace
