#include "pipeline/check.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "pipeline/catalog.h"
#include "pipeline/control_client.h"
#include "pipeline/state_directory.h"

namespace tailrace::pipeline {
namespace {

using sources::Finding;
using sources::Severity;

/// Below this not even one segment and the transactions in progress have room.
constexpr std::uint64_t kLeastFree = 512ULL << 20;

/// What the state directory already knows.
struct KnownState {
  bool running = false;
  bool slot_is_ours = false;
  std::string source_id;
};

Finding finding_of(const Error& error, Severity severity, std::string title) {
  return {error.code(), severity, std::move(title), error.what(), error.remedy()};
}

std::filesystem::path nearest_existing(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path at = std::filesystem::absolute(path, error);
  while (!std::filesystem::exists(at, error) && at != at.root_path()) at = at.parent_path();
  return at;
}

std::string gigabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1U << 30));
}

KnownState check_state(const PipelineSpec& spec, std::vector<Finding>& findings) {
  KnownState known;
  const StatePaths paths{spec.state};
  const std::filesystem::path place = nearest_existing(spec.state);
  if (::access(place.c_str(), W_OK | X_OK) != 0 || !std::filesystem::is_directory(place)) {
    const char* why = std::filesystem::is_directory(place) ? std::strerror(errno) : std::strerror(ENOTDIR);
    findings.push_back({"TR512", Severity::kError, "state",
                        fmt::format("{} cannot be used: {}: {}", spec.state.string(), place.string(), why),
                        "make it writable, or name another with --state"});
    return known;
  }
  if (!std::filesystem::exists(paths.catalog())) {
    findings.push_back({"", Severity::kNote, "state", spec.state.string() + " will be made", ""});
    return known;
  }
  try {
    Catalog catalog(paths.catalog(), Catalog::Access::kRead);
    known.slot_is_ours = catalog.load_facts().has_value() && catalog.text("slot") == spec.source.slot;
    known.source_id = catalog.source_id();
    known.running = ControlClient::connect(paths).has_value();
    findings.push_back({"", Severity::kNote, "state",
                        fmt::format("{} is there{}", spec.state.string(), known.running ? "; the pipeline runs" : ""),
                        ""});
  } catch (const Error& error) {
    findings.push_back(finding_of(error, Severity::kError, "state"));
  }
  return known;
}

std::uint64_t bytes_below(const std::filesystem::path& directory) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator file(directory, error), end; !error && file != end;
       file.increment(error)) {
    std::error_code gone;
    if (file->is_regular_file(gone)) bytes += file->file_size(gone);
  }
  return bytes;
}

void check_disk(const PipelineSpec& spec, std::vector<Finding>& findings) {
  std::error_code error;
  const auto space = std::filesystem::space(nearest_existing(spec.state), error);
  if (error) return;  // check_state has told why
  const StatePaths paths{spec.state};
  const std::uint64_t used = bytes_below(paths.journal()) + bytes_below(paths.spill());
  const std::uint64_t wanted = spec.log.max_size > used ? spec.log.max_size - used : 0;
  const std::string free = gigabytes(space.available) + " free";
  if (space.available >= wanted) {
    findings.push_back({"", Severity::kNote, "log",
                        fmt::format("{}, log.journal.max_size is {}", free, gigabytes(spec.log.max_size)), ""});
    return;
  }
  findings.push_back({"TR404", space.available < kLeastFree ? Severity::kError : Severity::kWarning, "log",
                      fmt::format("{}, but the journal may grow to {}: the disk would be full before that limit", free,
                                  gigabytes(spec.log.max_size)),
                      "free some space, lower log.journal.max_size, or put log.journal.path on another disk"});
}

void check_sink(const SinkSetup& sink, const TargetToCheck& target, bool running, std::vector<Finding>& findings) {
  if (!sink.check) return;
  const std::string title = "sink " + sink.name;
  try {
    findings.push_back({"", Severity::kNote, title, sink.check(target), ""});
  } catch (const RetryError& error) {
    if (running) {
      findings.push_back({"", Severity::kNote, title, "in use by this pipeline", ""});
    } else {
      findings.push_back(finding_of(error, Severity::kWarning, title));
    }
  } catch (const Error& error) {
    findings.push_back(finding_of(error, Severity::kError, title));
  }
}

}  // namespace

PipelineCheck check_pipeline(const PipelineSpec& spec) {
  PipelineCheck check{.name = spec.name, .findings = {}};
  std::vector<Finding> state;
  const KnownState known = check_state(spec, state);
  check_disk(spec, state);
  TargetToCheck target{.pipeline = spec.name, .source_id = known.source_id, .tables = {}};
  if (spec.source.check) {
    sources::SourceCheck source = spec.source.check(known.slot_is_ours);
    check.findings = std::move(source.findings);
    for (sources::SourceTable& table : source.tables) target.tables.push_back(std::move(table.name));
  }
  check.findings.insert(check.findings.end(), state.begin(), state.end());
  for (const SinkSetup& sink : spec.sinks) check_sink(sink, target, known.running, check.findings);
  return check;
}

}  // namespace tailrace::pipeline
