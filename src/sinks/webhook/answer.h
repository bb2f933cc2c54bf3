#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sinks/webhook/http_client.h"

namespace tailrace::webhook {

/// What an answer asks for.
enum class Reaction : std::uint8_t {
  kDone,
  /// It is sent again later: the receiver is away, busy or broken.
  kRetry,
  /// It is about what was sent, and will be the same the next time.
  kRefused,
  /// The receiver is elsewhere.
  kElsewhere,
};
Reaction reaction_to(const HttpAnswer& answer);

/// "HTTP 400: ", and the beginning of the body, of at most 500 bytes of well-formed UTF-8 without control characters.
std::string letter_text(const HttpAnswer& answer);

}  // namespace tailrace::webhook
