#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "config/config_error.h"

namespace tailrace::cli {
namespace {

bool color_allowed = true;

bool wants_color(int fd) {
  if (!color_allowed || !is_terminal(fd)) return false;
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* term = std::getenv("TERM");
  return term != nullptr && std::string_view(term) != "dumb";
}

const char* escape_of(Colour colour) {
  switch (colour) {
    case Colour::kGreen: return "\033[32m";
    case Colour::kYellow: return "\033[33m";
    case Colour::kRed: return "\033[31m";
    case Colour::kBold: return "\033[1m";
  }
  return "";
}

}  // namespace

void set_color(bool allowed) { color_allowed = allowed; }

std::string painted(std::string_view text, Colour colour, int fd) {
  if (!wants_color(fd)) return std::string(text);
  return fmt::format("{}{}\033[0m", escape_of(colour), text);
}

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

int terminal_width(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string error_text(const Error& error, int fd) {
  std::string text = fmt::format("{} {} [{}]\n", painted("error:", Colour::kRed, fd), error.what(), error.code());
  if (const auto* config = dynamic_cast<const config::ConfigError*>(&error)) text += config->excerpt();
  if (!error.remedy().empty()) {
    const bool ended = std::string_view("?.;!").find(error.remedy().back()) != std::string_view::npos;
    text += fmt::format("{} {}{} More: tailrace docs {}\n", painted("help:", Colour::kBold, fd), error.remedy(),
                        ended ? "" : ".", error.code());
  }
  return text;
}

void print_error(const Error& error, bool json) {
  const std::string text = error_text(error, STDERR_FILENO);
  std::fwrite(text.data(), 1, text.size(), stderr);
  if (!json) return;
  const nlohmann::ordered_json document = {
      {"error", {{"code", error.code()}, {"what", error.what()}, {"remedy", error.remedy()}}}};
  const std::string line = document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

std::string human_seconds(double seconds) {
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(seconds);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

std::string human_bytes(std::uint64_t bytes) {
  const char* const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0 || value >= 100) return fmt::format("{:.0f} {}", value, units[unit]);
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string human_count(std::uint64_t count) {
  if (count >= 10'000'000) return fmt::format("{:.1f}M", static_cast<double>(count) / 1e6);
  std::string digits = std::to_string(count);
  for (std::size_t i = digits.size(); i > 3;) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits;
}

}  // namespace tailrace::cli
