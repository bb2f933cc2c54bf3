#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace tailrace::log {

enum class Level { kDebug, kInfo, kWarn, kError, kOff };
enum class Format { kText, kJson };

/// Sets where the process' log goes: always stderr. Call once, before other threads start; until then the level is
/// info and the format text.
void configure(Level level, Format format);
bool enabled(Level level);
/// One line. `event` is a stable identifier ("source.connected"); neither text may hold row values or secrets.
void write(Level level, std::string_view event, std::string_view text);

template <typename... Args>
void debug(std::string_view event, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kDebug)) write(Level::kDebug, event, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(std::string_view event, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kInfo)) write(Level::kInfo, event, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(std::string_view event, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kWarn)) write(Level::kWarn, event, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(std::string_view event, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kError)) write(Level::kError, event, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tailrace::log
