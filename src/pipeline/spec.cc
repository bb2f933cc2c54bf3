#include "pipeline/spec.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace tailrace::pipeline {

MemorySplit split_memory(std::uint64_t memory, std::size_t sinks) {
  constexpr std::uint64_t kMiB = 1ULL << 20;
  // Code, stacks, buffers of the connections, and what allocators keep.
  constexpr std::uint64_t kBase = 48 * kMiB;
  MemorySplit split;
  // Nobody reads what was just written when there is no sink.
  split.ring = sinks == 0 ? 0 : std::clamp(memory / 16, 4 * kMiB, 128 * kMiB);
  split.spills = std::clamp(memory / 32, 2 * kMiB, 64 * kMiB);
  split.batch = std::clamp(memory / 16, 2 * kMiB, 64 * kMiB);
  const std::uint64_t used = kBase + split.ring + split.spills + split.batch * std::max<std::size_t>(sinks, 1);
  const std::uint64_t left = memory > used ? memory - used : 0;
  split.sink = std::max(left / std::max<std::size_t>(sinks, 1), 32 * kMiB);
  return split;
}

const SinkSetup& queryable_sink(const PipelineSpec& spec, const std::string& name) {
  const SinkSetup* found = nullptr;
  for (const SinkSetup& sink : spec.sinks) {
    if (name.empty() ? !sink.query : sink.name != name) continue;
    if (found != nullptr) {
      throw BadConfigError("TR513", fmt::format("{} has several targets with SQL", spec.name),
                           fmt::format("say which: --sink {}", sink.name));
    }
    found = &sink;
  }
  if (found != nullptr && found->query) return *found;
  throw BadConfigError("TR513",
                       fmt::format("{} has no target that answers SQL{}", spec.name,
                                   name.empty() ? "" : fmt::format(" named `{}`", name)),
                       "look at `tailrace status`");
}

void check_name(const std::string& name) {
  const bool fits = !name.empty() && name.size() <= 50 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
  if (fits) return;
  throw BadConfigError("TR209", fmt::format("`{}` cannot be a pipeline's name", name), "use 1 to 50 of a-z, 0-9 and _");
}

}  // namespace tailrace::pipeline
