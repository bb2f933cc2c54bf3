#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/dead_letters.h"

namespace tailrace::cli {

/// One line of `dlq list`, without values.
std::string letter_line(const pipeline::KeptLetter& letter);

enum class Values : bool { kHidden, kShown };
/// A letter as JSON. With values also its rows, "old" and "new", as far as there are any: columns by name, or by their
/// number where an earlier version kept the letter. Texts are as PostgreSQL wrote them; what is no UTF-8 is {"hex":…},
/// what was not sent {"unchanged":true}. REQUIRES for values: the letter was read with its rows.
nlohmann::ordered_json letter_json(const pipeline::KeptLetter& letter, Values values);

}  // namespace tailrace::cli
