#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>

namespace tailrace {

/// A moment as PostgreSQL counts it: microseconds since 2000-01-01 00:00:00 UTC. A value.
class PgTime {
 public:
  constexpr PgTime() = default;
  constexpr explicit PgTime(std::int64_t micros) : micros_(micros) {}

  /// Microseconds since 2000-01-01 UTC.
  constexpr std::int64_t micros() const { return micros_; }
  /// Microseconds since 1970-01-01 UTC.
  constexpr std::int64_t unix_micros() const { return micros_ + kUnixOffset; }
  static constexpr PgTime from_unix_micros(std::int64_t micros) { return PgTime(micros - kUnixOffset); }
  /// This host's wall clock; for display and lag only, never for order.
  static PgTime now();
  /// "2026-01-31T12:00:00.000000Z".
  std::string str() const;

  constexpr auto operator<=>(const PgTime&) const = default;

 private:
  static constexpr std::int64_t kUnixOffset = 946684800LL * 1000000;
  std::int64_t micros_ = 0;
};

/// Time-outs and intervals are measured on this clock, which never steps.
using SteadyClock = std::chrono::steady_clock;

}  // namespace tailrace
