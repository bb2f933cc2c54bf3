#include "model/position.h"

#include <fmt/format.h>

namespace tailrace {

std::string Position::str() const { return fmt::format("{}:{}:{}", epoch, commit_end.str(), ordinal); }

}  // namespace tailrace
