#pragma once

#include <string>

#include "sources/postgres/spec.h"

namespace tailrace::postgres {

/// Removes slot and publications of `spec` from the server, as far as they are there. Throws as Connection does, and
/// RefusedError when the slot is in use.
void drop_at_source(const SourceSpec& spec, bool slot, bool publication);

/// The conninfo in keyword form without passwords: for keeping and for showing. Throws BadConfigError (TR129) when it
/// cannot be read.
std::string without_secrets(const std::string& conninfo);

}  // namespace tailrace::postgres
