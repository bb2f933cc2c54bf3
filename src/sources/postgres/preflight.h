#pragma once

#include "sources/finding.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

using sources::Finding;
using sources::Severity;

/// Looks at the source as `tailrace check` does, and creates nothing. The first finding is a note on the server; an
/// unreachable one is a finding too, never a throw. `slot_is_ours`: the pipeline's state knows the slot, so its
/// existence is no obstacle. Any thread; connections of its own.
sources::SourceCheck check_source(const SourceSpec& spec, bool slot_is_ours = false);

}  // namespace tailrace::postgres
