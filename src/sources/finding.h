#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tailrace::sources {

enum class Severity : std::uint8_t { kNote, kWarning, kError };

/// Something that a look at a source, the log or a target has found.
struct Finding {
  /// "TR104": explained by `tailrace docs TR104`. Empty for a note that says what is well.
  std::string code;
  Severity severity = Severity::kNote;
  std::string title;
  /// What it means here, in a sentence.
  std::string what;
  /// SQL or setting that mends it; empty when nothing needs to be done.
  std::string remedy;
};

/// No finding is an error.
bool passed(const std::vector<Finding>& findings);

/// Schema and name.
using TableName = std::pair<std::string, std::string>;

/// A table that would be followed.
struct SourceTable {
  TableName name;
  /// Whether updates and deletes can be followed.
  bool has_identity = true;
};

/// What a look at a source has found, without making anything there.
struct SourceCheck {
  /// Empty when the source was not reached, as is `database`.
  std::string server_version;
  std::string database;
  std::vector<SourceTable> tables;
  std::vector<Finding> findings;
};

}  // namespace tailrace::sources
