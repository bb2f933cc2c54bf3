#pragma once

#include <vector>

#include "sources/finding.h"
#include "sources/postgres/connection.h"

namespace tailrace::postgres {

/// What `ddl_messages` lacks: the event trigger that writes StreamDecoder's kDdlPrefix messages, with its SQL. Creates
/// nothing.
std::vector<sources::Finding> examine_ddl_trigger(Connection& sql);

}  // namespace tailrace::postgres
