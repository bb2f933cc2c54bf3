#include "sinks/warehouse/state_text.h"

#include <fmt/format.h>

#include "base/error.h"

namespace tailrace::warehouse {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

}  // namespace

std::string to_hex(std::string_view bytes) {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::string from_hex(std::string_view text, const std::string& display) {
  std::string out;
  out.reserve(text.size() / 2);
  for (std::size_t n = 0; n + 1 < text.size(); n += 2) {
    const std::size_t high = kDigits.find(text[n]);
    const std::size_t low = kDigits.find(text[n + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) break;
    out += static_cast<char>(high << 4 | low);
  }
  if (2 * out.size() != text.size())
    throw CorruptionError("TR890", fmt::format("{}: the sink's state there was changed by somebody", display),
                          "bring TAILRACE_STATE back as it was (time travel), or let Tailrace copy the tables again");
  return out;
}

}  // namespace tailrace::warehouse
