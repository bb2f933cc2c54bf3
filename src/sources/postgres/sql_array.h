#pragma once

#include <string>
#include <vector>

#include "base/lsn.h"

namespace tailrace::postgres {

/// The text of an oid[] and of a text[], as parameters of a query.
std::string oid_array(const std::vector<Oid>& oids);
std::string text_array(const std::vector<std::string>& texts);

}  // namespace tailrace::postgres
