#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/lsn.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

enum class Severity : std::uint8_t { kNote, kWarning, kError };

/// Something that a look at the source has found.
struct Finding {
  /// "TR104": explained by `tailrace docs TR104`.
  std::string code;
  Severity severity = Severity::kNote;
  std::string title;
  /// What it means here, in a sentence.
  std::string what;
  /// SQL or setting that mends it; empty when nothing needs to be done.
  std::string remedy;
};

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
