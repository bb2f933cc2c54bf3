#pragma once

#include <vector>

#include "sources/postgres/connection.h"
#include "sources/postgres/preflight.h"
#include "sources/postgres/publication.h"

namespace tailrace::postgres {

/// Everything that an ordinary connection can find out about whether this source can be followed, errors first within
/// each rule. Creates nothing.
std::vector<Finding> examine(Connection& sql, const SourceSpec& spec, const std::vector<Candidate>& tables,
                             bool slot_is_ours);

/// Throws the first error among `findings` as a RefusedError.
void refuse_errors(const std::vector<Finding>& findings);

}  // namespace tailrace::postgres
