#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/lsn.h"
#include "sources/finding.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

using sources::Finding;
using sources::Severity;

/// A table that the pattern selects, for showing and for `init`.
struct SelectedTable {
  Oid oid;
  std::string schema;
  std::string name;
  double estimated_rows = 0;
  std::uint64_t bytes = 0;
  /// Whether updates and deletes can be followed.
  bool has_identity = false;
};

struct PreflightReport {
  std::string server_version;
  std::string database;
  std::vector<SelectedTable> tables;
  std::vector<Finding> findings;
  /// No finding is an error.
  bool passed() const;
};

/// Looks at the source as `tailrace check` does, and creates nothing. An unreachable server is a finding too, never a
/// throw. `slot_is_ours`: the pipeline's state knows the slot, so its existence is no obstacle. Any thread;
/// connections of its own.
PreflightReport check_source(const SourceSpec& spec, bool slot_is_ours = false);

}  // namespace tailrace::postgres
