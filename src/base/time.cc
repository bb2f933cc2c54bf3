#include "base/time.h"

#include <fmt/format.h>

#include <ctime>

namespace tailrace {

PgTime PgTime::now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return from_unix_micros(std::chrono::duration_cast<std::chrono::microseconds>(since).count());
}

std::string PgTime::str() const {
  const std::int64_t unix = unix_micros();
  std::int64_t seconds = unix / 1000000;
  std::int64_t micros = unix % 1000000;
  if (micros < 0) {
    micros += 1000000;
    --seconds;
  }
  const std::time_t when = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&when, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, micros);
}

}  // namespace tailrace
