#pragma once

#include <optional>
#include <string>

#include "sources/postgres/source_memory.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

/// Removes slot and publications of `spec` from the server, as far as they are there. Throws as Connection does,
/// RefusedError when the slot is in use, and BadConfigError (TR141), having removed nothing, when a publication is not
/// known by `facts` to have been made for this pipeline.
void drop_at_source(const SourceSpec& spec, const std::optional<SourceFacts>& facts, bool slot, bool publication);

/// The conninfo in keyword form without passwords: for keeping and for showing. Throws BadConfigError (TR129) when it
/// cannot be read.
std::string without_secrets(const std::string& conninfo);

}  // namespace tailrace::postgres
