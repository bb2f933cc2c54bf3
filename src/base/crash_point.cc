#include "base/crash_point.h"

#if TAILRACE_CRASH_POINTS

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>

namespace tailrace {
namespace {

struct Trap {
  std::string name;
  std::atomic<long> passages_left{1};
};

std::deque<Trap> read_traps() {
  std::deque<Trap> traps;
  const char* text = std::getenv("TAILRACE_CRASH_AT");
  std::string_view rest(text == nullptr ? "" : text);
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    const auto colon = one.rfind(':');
    Trap& trap = traps.emplace_back();
    trap.name = one.substr(0, colon);
    if (colon != std::string_view::npos) trap.passages_left = std::stol(std::string(one.substr(colon + 1)));
  }
  return traps;
}

}  // namespace

void pass_crash_point(const char* name) {
  static std::deque<Trap> traps = read_traps();
  for (Trap& trap : traps) {
    if (trap.name != name || --trap.passages_left > 0) continue;
    const std::string last = "crash point " + trap.name + "\n";
    // Whether anybody hears it does not matter.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, last.data(), last.size());
    std::raise(SIGKILL);
  }
}

std::uint64_t bound_or_tested(const char* name, std::uint64_t bound) {
  const char* text = std::getenv((std::string("TAILRACE_BOUND_") + name).c_str());
  return text == nullptr ? bound : std::strtoull(text, nullptr, 10);
}

}  // namespace tailrace

#endif
