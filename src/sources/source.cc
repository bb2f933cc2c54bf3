#include "sources/source.h"

#include <algorithm>

#include "sources/finding.h"

namespace tailrace::sources {

bool passed(const std::vector<Finding>& findings) {
  return std::ranges::none_of(findings, [](const Finding& finding) { return finding.severity == Severity::kError; });
}

const char* name_of(SourceState state) {
  switch (state) {
    case SourceState::kIdle: return "idle";
    case SourceState::kConnecting: return "connecting";
    case SourceState::kStreaming: return "streaming";
    case SourceState::kWaitingForSlot: return "waiting_for_slot";
    case SourceState::kWaitingToReconnect: return "waiting_to_reconnect";
    case SourceState::kLogFull: return "log_full";
    case SourceState::kStopped: return "stopped";
    case SourceState::kFailed: return "failed";
  }
  return "unknown";
}

}  // namespace tailrace::sources
