#include "sinks/webhook/answer.h"

#include <fmt/format.h>

#include <cstddef>

namespace tailrace::webhook {
namespace {

constexpr std::size_t kLongest = 500;

/// Bytes of the character that `text` begins with; 0: it begins with none. Overlong forms and surrogates are none.
std::size_t character(std::string_view text) {
  const auto byte = [text](std::size_t at) { return static_cast<unsigned char>(at < text.size() ? text[at] : 0); };
  const unsigned first = byte(0);
  if (first < 0x80) return first < 0x20 || first == 0x7f ? 0 : 1;
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (std::size_t at = 1; at < size; ++at)
    if ((byte(at) & 0xc0U) != 0x80) return 0;
  const unsigned second = byte(1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
      (first == 0xf4 && second > 0x8f))
    return 0;
  return size;
}

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t size = character(text);
    if (out.size() + (size == 0 ? 1 : size) > kLongest) break;
    if (size == 0) {
      // Line breaks and what is no text.
      out += text.front() == '\n' || text.front() == '\r' || text.front() == '\t' ? ' ' : '?';
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out;
}

}  // namespace

Reaction reaction_to(const HttpAnswer& answer) {
  constexpr long kRequestTimeout = 408;
  constexpr long kTooEarly = 425;
  constexpr long kTooMany = 429;
  const long status = answer.status;
  if (status >= 200 && status < 300) return Reaction::kDone;
  if (status >= 300 && status < 400) return Reaction::kElsewhere;
  if (status < 400 || status >= 500) return Reaction::kRetry;
  if (status == kRequestTimeout || status == kTooEarly || status == kTooMany) return Reaction::kRetry;
  return Reaction::kRefused;
}

std::string letter_text(const HttpAnswer& answer) {
  const std::string body = printable(answer.body);
  return body.empty() ? fmt::format("HTTP {}", answer.status) : fmt::format("HTTP {}: {}", answer.status, body);
}

}  // namespace tailrace::webhook
