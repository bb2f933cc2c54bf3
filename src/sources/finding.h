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

/// Schema and name.
using TableName = std::pair<std::string, std::string>;

/// What a look at a source has found, without making anything there.
struct SourceCheck {
  /// The tables that would be followed.
  std::vector<TableName> tables;
  std::vector<Finding> findings;
};

}  // namespace tailrace::sources
