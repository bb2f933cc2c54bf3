#pragma once

#include <optional>
#include <string>

#include "base/lsn.h"
#include "base/time.h"

namespace tailrace::cli {

/// A place in the log as a person names it.
struct Moment {
  /// Nothing: `time` says it.
  std::optional<Lsn> lsn;
  PgTime time;
};

/// Reads an LSN, or a time in ISO notation (UTC unless it says otherwise; a date alone is its beginning). `flag`: where
/// it was given, for the error. Throws BadConfigError TR202.
Moment parse_moment(std::string text, const std::string& flag);

}  // namespace tailrace::cli
