#include "base/crash_point.h"

#if TAILRACE_CRASH_POINTS

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

namespace tailrace {
namespace {

struct Plan {
  std::string name;
  long passages = 0;
};

Plan read_plan() {
  const char* text = std::getenv("TAILRACE_CRASH_AT");
  if (text == nullptr) return {};
  const std::string_view view(text);
  const auto colon = view.rfind(':');
  if (colon == std::string_view::npos) return {std::string(view), 1};
  return {std::string(view.substr(0, colon)), std::strtol(text + colon + 1, nullptr, 10)};
}

}  // namespace

void pass_crash_point(const char* name) {
  static const Plan plan = read_plan();
  static std::atomic<long> passed{0};
  if (plan.name != name) return;
  if (++passed >= plan.passages) std::raise(SIGKILL);
}

std::uint64_t bound_or_tested(const char* name, std::uint64_t bound) {
  const char* text = std::getenv((std::string("TAILRACE_BOUND_") + name).c_str());
  return text == nullptr ? bound : std::strtoull(text, nullptr, 10);
}

}  // namespace tailrace

#endif
