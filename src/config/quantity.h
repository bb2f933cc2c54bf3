#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tailrace::config {

/// Bytes from "512MiB", "20GiB", "64kB", "1000": powers of 1024 with an i, of 1000 without. Nothing when it is none or
/// does not fit.
std::optional<std::uint64_t> parse_size(std::string_view text);
/// The shortest text that parse_size reads back.
std::string print_size(std::uint64_t bytes);

/// From "24h", "2s", "500ms", "1h30m", "7d"; a bare number has no unit and is refused, except 0.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
std::string print_duration(std::chrono::milliseconds duration);

}  // namespace tailrace::config
