#pragma once

#include <cstdint>

/// Named places where a test makes the process die by SIGKILL, as if the machine had taken it away.
/// `TAILRACE_CRASH_AT=name:n` dies at the n-th passage of the point `name`, `name:n,other:m` at whichever comes first;
/// the last line on stderr names it. Each point stands beside the step it guards; in builds without
/// TAILRACE_CRASH_POINTS the macro is nothing.
#if TAILRACE_CRASH_POINTS
namespace tailrace {
void pass_crash_point(const char* name);
/// A bound, or what `TAILRACE_BOUND_<name>` says instead: tests make bounds small, so that what is rare becomes common.
/// Other builds always take the bound.
std::uint64_t bound_or_tested(const char* name, std::uint64_t bound);
}  // namespace tailrace
#define TAILRACE_CRASH_POINT(name) ::tailrace::pass_crash_point(name)
#else
namespace tailrace {
constexpr std::uint64_t bound_or_tested(const char*, std::uint64_t bound) { return bound; }
}  // namespace tailrace
#define TAILRACE_CRASH_POINT(name) \
  do {                             \
  } while (false)
#endif
