#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

#include "base/time.h"

namespace tailrace::log {
namespace {

std::atomic<Level> threshold{Level::kInfo};
std::atomic<Format> layout{Format::kText};

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("tailrace", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_level(spdlog::level::trace);
    made->set_pattern("%v");
    return made;
  }();
  return *instance;
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kDebug: return "debug";
    case Level::kInfo: return "info";
    case Level::kWarn: return "warn";
    case Level::kError: return "error";
    case Level::kOff: return "off";
  }
  return "off";
}

std::string json_escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 8);
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace

void configure(Level level, Format format) {
  threshold = level;
  layout = format;
}

bool enabled(Level level) { return level >= threshold.load(std::memory_order_relaxed); }

void write(Level level, std::string_view event, std::string_view text) {
  if (layout.load(std::memory_order_relaxed) == Format::kJson) {
    logger().info(R"({{"time":"{}","level":"{}","event":"{}","text":"{}"}})", PgTime::now().str(), level_name(level),
                  event, json_escaped(text));
  } else {
    logger().info("{} {:<5} {} {}", PgTime::now().str(), level_name(level), event, text);
  }
  logger().flush();
}

}  // namespace tailrace::log
