#pragma once

#include "base/error.h"

namespace tailrace::sinks {

/// The target itself is damaged, as opposed to our own log: it can be set aside and made anew (Sink::set_aside).
class DamagedTarget final : public CorruptionError {
 public:
  using CorruptionError::CorruptionError;
};

}  // namespace tailrace::sinks
